"""The logarithm of 1 + exp(x), quickly on a CPU too."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def softplus(x: Tensor) -> Tensor:
    """Return log(1 + exp(x)), exact also where it is tiny."""
    if x.device.type != "cpu":
        return -F.logsigmoid(-x)
    return _Softplus.apply(x)  # type: ignore[no-any-return]


class _Softplus(torch.autograd.Function):
    """Softplus without log1p, which takes a CPU as long as a product of vectors of 512 numbers."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        small = x.abs().neg_().exp_()  # at most 1
        total = small + 1
        lost = small.sub_(total - 1).div_(total)  # what rounding took, to first order
        return lost.add_(total.log_()).add_(x.clamp(min=0))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        result: Tensor = gradient * x.sigmoid()
        return result
