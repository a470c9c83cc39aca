"""Tell a row's partners from all other rows, by a softmax in both directions."""

import torch
from torch import Tensor

from fusion.division import division
from fusion.objectives.known import with_gradient
from fusion.objectives.pairs import OUTSIDE, Positives, left_out, where_shared
from fusion.objectives.tiles import products, sum_over_tiles, tiles, whole
from fusion.peek import near, surely

REACH = 60.0  # an exponential so far below the largest, or the sum, of others is no zero in fp32 yet

Two = tuple[Tensor, Tensor]  # for rows and for columns


def info_nce(x: Tensor, y: Tensor, scale: Tensor, positive: Positives, rows: Tensor) -> Tensor:
    """Return InfoNCE (Oord et al. 2018, eq. 4) from x to y, (b, w) both, and back: the mean of the two.

    Logits are `scale`, (1,), times x y^T. A row with several positives takes the mean of their losses, L_out
    of Khosla et al. 2020, eq. 2. The mean is over `rows`, (b,) bool, those that take part; 0 without any.

    Many rows are compared in tiles (Inf-CL, Cheng et al. 2024, algorithm 1): the first time for the logarithm
    of each row's and each column's sum, the second time for the logits of positives and the gradient.
    """
    shut_out = left_out(rows)
    weight = rows.to(x.dtype) / (2 * rows.sum().clamp(min=1))  # (b,)

    def logits(i: slice, j: slice, x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
        return shut_out(products(x, y, scale), i, j)

    def at_once(i: slice, j: slice, x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
        found = logits(i, j, x, y, scale)
        of_x, of_y = (torch.where(rows, of, 0.0) for of in _log_sums(found.detach()))
        shares = positive.shares(i, j, weight / positive.count(i, j))
        return _matched(found, (of_x, of_y), (weight, weight), shares) + (weight * (of_x + of_y)).sum()

    if whole(x):
        return sum_over_tiles(at_once, x, y, scale)

    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        sums = x.new_full((2, len(x)), torch.finfo(x.dtype).min)  # of the rows, and of the columns
        count = torch.zeros_like(rows, dtype=torch.int32)
        for i, j in tiles(x):
            for side, part, of in zip(sums, (i, j), _log_sums(logits(i, j, x[i], y[j], scale)), strict=True):
                side[part] = torch.logaddexp(side[part], of)
            count[i] += positive.count(i, j)
        division().add_up(count)
        of_x, of_y = torch.where(rows, division().stack(sums).logsumexp(dim=0), 0.0)
        each = weight / count

    def measure(i: slice, j: slice, x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
        found = logits(i, j, x, y, scale)
        return _matched(found, (of_x[i], of_y[j]), (weight[i], weight[j]), positive.shares(i, j, each))

    return sum_over_tiles(measure, x, y, scale) + (weight * (of_x + of_y)).sum()


def _matched(logits: Tensor, log_sums: Two, weights: Two, shares: Tensor | None) -> Tensor:
    """Return minus the sum of shares times logits, which are overwritten, with the gradient of the whole loss."""
    found = logits.detach()
    value = found.new_zeros(()) if shares is None else -(shares * where_shared(shares, found)).sum()
    if not logits.requires_grad:
        return value
    gradient = _softmaxes(found, log_sums, weights)
    if shares is not None:
        where_shared(shares, gradient).sub_(shares)
    return with_gradient(value, logits, gradient)


def _log_sums(logits: Tensor) -> Two:
    """Return the logarithm of the sum of exponentials of each row, (n,), and of each column, (m,)."""
    if near(logits) and logits.numel():
        highest = logits.amax(dim=1), logits.amax(dim=0)
        top = highest[0].amax()
        if all(surely((of > top - REACH) | (of < OUTSIDE / 2)) for of in highest):
            raised = (logits - top).exp_()  # once, for rows and columns
            return raised.sum(dim=1).log_().add_(top), raised.sum(dim=0).log_().add_(top)
    return logits.logsumexp(dim=1), logits.logsumexp(dim=0)


def _softmaxes(logits: Tensor, log_sums: Two, weights: Two) -> Tensor:
    """Return the softmax over each row, times its weight, plus the same of columns, in place of the logits."""
    both = torch.cat(log_sums)
    if near(logits) and logits.numel():
        middle = (both.amin() + both.amax()) / 2
        if surely((both - middle).abs() < REACH):
            of_x, of_y = (weight * (middle - of).exp() for weight, of in zip(weights, log_sums, strict=True))
            return logits.sub_(middle).exp_().mul_(of_x.unsqueeze(1) + of_y)
    (of_x, of_y), (weight_x, weight_y) = log_sums, weights
    from_x = (logits - of_x.unsqueeze(1)).exp_().mul_(weight_x.unsqueeze(1))
    return logits.sub_(of_y).exp_().mul_(weight_y).add_(from_x)
