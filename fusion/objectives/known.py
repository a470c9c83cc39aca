"""A sum over every two rows whose gradient is found along with it."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from fusion.peek import near


def with_gradient(value: Tensor, x: Tensor, gradient: Tensor) -> Tensor:
    """Return `value`, (), whose gradient for x is known, and may lie in the memory of x."""
    return _Known.apply(x, value, gradient)  # type: ignore[no-any-return]


class _Known(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        if near(incoming) and incoming.item() == 1:
            return gradient, None, None
        return incoming * gradient, None, None
