"""Sums of log(1 + exp(x)), quickly on a CPU too."""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from fusion.objectives.logits import Found
from fusion.objectives.pairs import sum_of_shares, where_shared

AT_ONCE = 1 << 15
"""Numbers that stay in a processor's cache from one operation to the next."""


def softplus_sum(x: Tensor, weight: Tensor | float = 1.0, shares: Tensor | None = None) -> Found:
    """Return `weight`, (), times the sum of log(1 + exp(x)), less that of shares times x, ().

    The former is exact also where it is tiny. x is (n, m), and the gradient takes its place; shares are
    (n, m) or of its diagonal alone, (n,).
    """
    known = x.new_zeros(()) if shares is None else sum_of_shares(shares, x)
    if x.device.type == "cpu":
        rows = max(1, AT_ONCE // max(1, x.shape[1]))
        total = functools.reduce(torch.add, (_softplus_sum(part) for part in torch.split(x, rows)))
    else:
        total = -F.logsigmoid(-x).sum()
        x.sigmoid_()
    gradient = x.mul_(weight)
    if shares is not None:
        where_shared(shares, gradient).sub_(shares)
    return total * weight - known, gradient


def _softplus_sum(x: Tensor) -> Tensor:
    """Return the sum of softplus of x, (), and leave its derivative, the sigmoid, in x.

    It is max(x, 0) + log(1 + e), where e is the exponential of -|x|, and log(1 + e) is 2 artanh(e / (2 + e)):
    log1p itself may take torch a dozen times as long on a processor with AVX-512. Where s is the sigmoid of
    -|x|, e / (2 + e) is s / (2 - s).
    """
    positive = x.clamp(min=0).sum() if x.numel() and x.amax() > 0 else None
    small = x.sigmoid_() if positive is None else x.abs().neg_().sigmoid_()  # at most one half
    total = torch.div(small, 2 - small).atanh_().sum().mul_(2)
    if positive is None:
        return total
    x.sigmoid_()
    return total.add_(positive)
