"""A sum over every two rows whose gradient is found along with it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Found = tuple[Tensor, Tensor]
"""A sum, (), and its gradient for the logits, (n, m)."""


def sum_over_logits(
    measure: Callable[[Tensor], Found], x: Tensor, y: Tensor, log_scale: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Return what `measure` finds, (), for logits exp(`log_scale`) x y^T + `bias`, (n, m).

    x is (n, w), y (m, w), `log_scale` and `bias` (1,). Nothing that `measure` does is recorded: it is given
    logits that it may overwrite, also with the gradient that it returns.
    """
    return _Sum.apply(measure, x, y, log_scale, bias)  # type: ignore[no-any-return]


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        measure: Callable[[Tensor], Found],
        x: Tensor,
        y: Tensor,
        log_scale: Tensor,
        bias: Tensor | None,
    ) -> Tensor:
        scale = log_scale.exp()
        # scaled is what has fewer numbers
        logits = (x @ y.T).mul_(scale) if len(y) < x.shape[1] else (scale * x) @ y.T
        value, gradient = measure(logits if bias is None else logits.add_(bias))
        ctx.save_for_backward(x, y, scale, gradient)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor | None, ...]:
        x, y, scale, gradient = ctx.saved_tensors
        of_bias = (incoming * gradient.sum()).view(1) if ctx.needs_input_grad[4] else None
        gradient = gradient * (incoming * scale)
        of_x, of_y = gradient @ y, gradient.T @ x
        of_log_scale = None
        if ctx.needs_input_grad[3]:
            of_log_scale = torch.dot(x.flatten(), of_x.flatten()).view(1)
        return None, of_x, of_y, of_log_scale, of_bias
