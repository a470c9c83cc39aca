"""Tell a row's partners from all other rows, by a softmax in both directions."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from fusion.division import division
from fusion.objectives.known import with_gradient
from fusion.objectives.pairs import Positives, cut_out, left_out, where_shared
from fusion.objectives.tiles import products, sum_over_tiles, tiles, whole
from fusion.peek import near, surely

FAINTEST = math.exp(-60)  # a sum that is smaller may lack what is below exp(-87), the end of fp32
LOG2_E = math.log2(math.e)

Two = tuple[Tensor, Tensor]  # of rows and of columns


def info_nce(x: Tensor, y: Tensor, scale: Tensor, positive: Positives, rows: Tensor) -> Tensor:
    """Return InfoNCE (Oord et al. 2018, eq. 4) from x to y, (b, w) both, and back: the mean of the two.

    Logits are `scale`, (1,), times x y^T. A row with several positives takes the mean of their losses, L_out
    of Khosla et al. 2020, eq. 2. The mean is over `rows`, (b,) bool, those that take part; 0 without any.

    Many rows are compared in tiles (Inf-CL, Cheng et al. 2024, algorithm 1): the first time for the logarithm
    of each row's and each column's sum, the second time for the logits of positives and the gradient.
    """
    x, y, positive, rows = cut_out(x, y, positive, rows)
    shut_out = left_out(rows)
    weight = rows.to(x.dtype) / (2 * rows.sum().clamp(min=1))  # (b,)

    def logits(i: slice, j: slice, x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
        return shut_out(products(x, y, scale), i, j)

    def at_once(i: slice, j: slice, x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
        found = logits(i, j, x, y, scale)  # (b, b)
        shares = positive.shares(i, j, weight / positive.among(i, j))
        assert shares is not None  # every row belongs to itself
        raised = _raised(found.detach())
        if raised is None:
            sums: Tensor = weight @ (found.logsumexp(dim=1) + found.logsumexp(dim=0))
            matched: Tensor = (shares * where_shared(shares, found)).sum()
            return sums - matched
        return _of_raised(found, raised, weight, shares)

    if whole(x):
        return sum_over_tiles(at_once, x, y, scale)

    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        sums = x.new_full((2, len(x)), torch.finfo(x.dtype).min)
        count = torch.zeros_like(rows, dtype=torch.int32)
        for i, j in tiles(x):
            of_i, of_j = _log_sums(logits(i, j, x[i], y[j], scale))
            sums[0, i] = torch.logaddexp(sums[0, i], of_i)
            sums[1, j] = torch.logaddexp(sums[1, j], of_j)
            count[i] += positive.among(i, j)
        division().add_up(count)
        of_x, of_y = sums = division().stack(sums).logsumexp(dim=0)
        each, top = weight / count, sums.amax()
        shift = top if surely((sums - top).exp() > FAINTEST) else None

    def measure(i: slice, j: slice, x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
        found, shares = logits(i, j, x, y, scale), positive.shares(i, j, each)
        return _matched(found, (of_x[i], of_y[j]), shift, (weight[i], weight[j]), shares)

    known: Tensor = weight @ (of_x + of_y)
    return sum_over_tiles(measure, x, y, scale) + known


class _Raised(NamedTuple):
    """exp(logits - top), (n, m), and its sums of rows and then of columns, (n + m,)."""

    numbers: Tensor
    sums: Tensor
    top: Tensor


def _raised(logits: Tensor) -> _Raised | None:
    """Take one exponential for rows and columns; None where it is not known to be good for all of them."""
    if not near(logits) or not logits.numel():
        return None
    top = logits.amax()
    raised = _exp(logits - top)
    sums = torch.cat((raised.sum(dim=1), raised.sum(dim=0)))
    return _Raised(raised, sums, top) if sums.amin().item() > FAINTEST else None


def _of_raised(logits: Tensor, raised: _Raised, weight: Tensor, shares: Tensor) -> Tensor:
    """Return the loss of all rows at once."""
    weights = torch.cat((weight, weight))
    matched = (shares * where_shared(shares, logits.detach())).sum()
    value = weights @ raised.sums.log().add_(raised.top) - matched
    of_x, of_y = (weights / raised.sums).view(2, -1)
    gradient = raised.numbers.mul_(of_x.unsqueeze(1) + of_y)
    where_shared(shares, gradient).sub_(shares)
    return with_gradient(value, logits, gradient)


def _log_sums(logits: Tensor) -> Two:
    """Return the logarithms of the sums of exponentials, of rows (n,) and of columns (m,)."""
    raised = _raised(logits)
    if raised is None:
        return logits.logsumexp(dim=1), logits.logsumexp(dim=0)
    sums = raised.sums.log_().add_(raised.top)
    return sums[: len(logits)], sums[len(logits) :]


def _matched(logits: Tensor, sums: Two, shift: Tensor | None, weights: Two, shares: Tensor | None) -> Tensor:
    """Return minus the sum of shares times logits, which are overwritten, with the gradient of the loss."""
    found = logits.detach()
    value = found.new_zeros(()) if shares is None else -(shares * where_shared(shares, found)).sum()
    if not logits.requires_grad:
        return value
    gradient = _softmaxes(found, sums, shift, weights)
    if shares is not None:
        where_shared(shares, gradient).sub_(shares)
    return with_gradient(value, logits, gradient)


def _softmaxes(logits: Tensor, sums: Two, shift: Tensor | None, weights: Two) -> Tensor:
    """Return the softmax of rows, times their weights, plus that of columns, in place of the logits.

    `sums` are logarithms, and none is far below `shift`, where it is known.
    """
    (of_x, of_y), (weight_x, weight_y) = sums, weights
    if shift is not None:
        of_x, of_y = weight_x * (shift - of_x).exp(), weight_y * (shift - of_y).exp()
        return _exp(logits.sub_(shift)).mul_(of_x.unsqueeze(1) + of_y)
    from_x = (logits - of_x.unsqueeze(1)).exp_().mul_(weight_x.unsqueeze(1))
    return logits.sub_(of_y).exp_().mul_(weight_y).add_(from_x)


def _exp(x: Tensor) -> Tensor:
    """Return exp(x), in place: a power of two takes a CPU a quarter of the time."""
    return x.mul_(LOG2_E).exp2_()
