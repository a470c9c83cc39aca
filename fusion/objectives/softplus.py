"""Sums of log(1 + exp(x)), quickly on a CPU too."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

AT_ONCE = 1 << 15
"""Numbers that stay in a processor's cache from one operation to the next."""


def softplus_sum(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return the sum of log(1 + exp(x)), exact also where it is tiny, (); x is (n, m) and is overwritten.

    Each number counts as often as its row, (n,), times its column, (m,), say; these learn nothing.
    """
    if x.device.type != "cpu":
        return -(rows @ (F.logsigmoid(-x) @ columns))
    total, _ = _Sum.apply(x, rows, columns)
    return total  # type: ignore[no-any-return]


class _Sum(torch.autograd.Function):
    """The sum without log1p, which takes a CPU as long as a product of vectors of 512 numbers.

    Numbers are taken piece by piece, in place: to fetch them anew for each operation takes longer than these.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(())
        size = max(1, AT_ONCE // max(1, x.shape[1]))
        for part, often in zip(torch.split(x, size), torch.split(rows, size), strict=True):
            slope = torch.empty_like(part)
            total += often @ (_softplus(part, slope) @ columns)
            torch.mul(slope.mul_(columns), often.unsqueeze(1), out=part)
        ctx.mark_dirty(x)
        ctx.mark_non_differentiable(x)
        ctx.save_for_backward(x)
        return total, x  # what is overwritten has to be among them

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return gradient * slope, None, None


def _softplus(x: Tensor, slope: Tensor) -> Tensor:
    """Return the softplus of x, which is overwritten; put its derivative, the sigmoid, into `slope`."""
    positive = x.clamp(min=0) if x.numel() and x.amax() > 0 else None
    small = x.exp_() if positive is None else x.abs_().neg_().exp_()  # at most 1
    total = small + 1
    torch.div(small, total, out=slope)
    if positive is not None:
        torch.where(positive > 0, 1 - slope, slope, out=slope)
    lost = small.sub_(total - 1).div_(total)  # what rounding took, to first order
    lost.add_(total.log_())
    return lost if positive is None else lost.add_(positive)
