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
        small = x.abs().neg_().exp_()
        sum_ = 1 + small
        # what rounding took from the sum, to first order
        lost = small.sub_(sum_ - 1).div_(sum_)
        return sum_.log_().add_(lost).add_(x.clamp(min=0))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradient * x.sigmoid()
