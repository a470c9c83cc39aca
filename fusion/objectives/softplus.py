"""Sums of log(1 + exp(x)), quickly on a CPU too."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fusion.objectives.logits import Found
from fusion.objectives.pairs import where_shared

FEW = 1 << 13
"""Numbers for which the operations of torch are faster, which are fewer."""
AT_ONCE = 1 << 15
"""Numbers that stay in a processor's cache from one operation to the next."""
FOLDS = 6
"""2 ** 6 factors of at most 2 are multiplied before a logarithm is taken: fp32 ends at 2 ** 128."""


def softplus_sum(x: Tensor, shares: Tensor | None = None) -> Found:
    """Return the sum of log(1 + exp(x)), exact also where it is tiny, less that of shares times x, ().

    x is (n, m), and its gradient takes its place; shares are (n, m) or of its diagonal alone, (n,).
    """
    total = x.new_zeros(()) if shares is None else -(shares * where_shared(shares, x)).sum()
    if x.device.type == "cpu" and x.numel() > FEW:
        for part in torch.split(x, max(1, AT_ONCE // max(1, x.shape[1]))):
            total += _softplus_sum(part)
    else:
        total -= F.logsigmoid(-x).sum()
        x.sigmoid_()
    if shares is not None:
        where_shared(shares, x).sub_(shares)
    return total, x


def _softplus_sum(x: Tensor) -> Tensor:
    """Return the sum of softplus of x, (), and leave its derivative, the sigmoid, in x."""
    positive = x.clamp(min=0) if x.numel() and x.amax() > 0 else None
    small = x.exp() if positive is None else x.abs().neg_().exp_()  # at most 1
    torch.div(small, small + 1, out=x)
    if positive is None:
        return _log1p_sum(small)
    torch.where(positive > 0, 1 - x, x, out=x)
    return _log1p_sum(small).add_(positive.sum())


def _log1p_sum(x: Tensor) -> Tensor:
    """Return the sum of log(1 + x), (), for x from 0 to 1, (n, m), which is overwritten.

    log1p takes a CPU as long as a product of vectors of 512 numbers, so it is taken of few:
    (1 + a)(1 + b) is 1 + (a + b + a b).
    """
    for _ in range(FOLDS):
        half = (x.shape[1] + 1) // 2
        first, second = x[:, : x.shape[1] - half], x[:, half:]
        first += torch.addcmul(second, first, second)
        x = x[:, :half]
    return x.log1p().sum()
