"""Tell a row's partners from all other rows, by a softmax in both directions."""

import math

import torch
from torch import Tensor

from fusion.division import division
from fusion.objectives.logits import Found, sum_over_logits
from fusion.objectives.pairs import Positives, cut_out, left_out, sum_of_shares, where_shared
from fusion.objectives.tiles import sum_over_tiles, tiles, whole
from fusion.peek import near, surely

FAINTEST = math.exp(-60)  # a sum that is smaller may lack what is below exp(-87), the end of fp32
LOG2_E = math.log2(math.e)

Two = tuple[Tensor, Tensor]  # of rows and of columns


def info_nce(x: Tensor, y: Tensor, log_scale: Tensor, positive: Positives) -> Tensor:
    """Return InfoNCE (Oord et al. 2018, eq. 4) from x to y, (b, w) both, and back: the mean of the two.

    Logits are x y^T times exp(`log_scale`), (1,). A row with several positives takes the mean of their
    losses, L_out of Khosla et al. 2020, eq. 2. The mean is over the rows that take part; 0 without any.

    Many rows are compared in tiles (Inf-CL, Cheng et al. 2024, algorithm 1): the first time for the logarithm
    of each row's and each column's sum, the second time for the logits of positives and the gradient.
    """
    x, y, positive = cut_out(x, y, positive)
    shut_out, weight = left_out(positive), positive.weights(x)

    def at_once(i: slice, j: slice, *given: Tensor) -> Tensor:
        each = weight if positive.keys is None else weight / positive.among(i, j)
        shares = positive.shares(i, j, each)
        assert shares is not None  # every row belongs to itself
        return sum_over_logits(lambda logits: _at_once(shut_out(logits, i, j), weight, shares), *given)

    if whole(x):
        return sum_over_tiles(at_once, x, y, log_scale)

    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        sums = x.new_full((2, len(x)), torch.finfo(x.dtype).min)
        count = torch.zeros_like(positive.rows, dtype=torch.int32)
        for i, j in tiles(x):
            of_i, of_j = _log_sums(shut_out((log_scale.exp() * x[i]) @ y[j].T, i, j))
            sums[0, i] = torch.logaddexp(sums[0, i], of_i)
            sums[1, j] = torch.logaddexp(sums[1, j], of_j)
            count[i] += positive.among(i, j)
        division().add_up(count)
        of_x, of_y = sums = division().stack(sums).logsumexp(dim=0)
        each, top = weight / count, sums.amax()
        shift = top if surely((sums - top).exp() > FAINTEST) else None

    def measure(i: slice, j: slice, *given: Tensor) -> Tensor:
        sums, weights, shares = (of_x[i], of_y[j]), (weight[i], weight[j]), positive.shares(i, j, each)
        return sum_over_logits(
            lambda logits: _matched(shut_out(logits, i, j), sums, shift, weights, shares), *given
        )

    return sum_over_tiles(measure, x, y, log_scale) + weight.dot(of_x + of_y)


def _at_once(logits: Tensor, weight: Tensor, shares: Tensor) -> Found:
    """Return the loss of all rows, whose weights are (b,), and of their `shares` in each other."""
    of_x, of_y = logits.log_softmax(dim=1), logits.log_softmax(dim=0)  # (b, b)
    value = (of_x.diagonal() + of_y.diagonal()).dot(weight).neg_()
    if shares.dim() == 2:  # some belong to others than themselves
        value += 2 * weight.dot(logits.diagonal()) - sum_of_shares(shares, logits)
    gradient = _exp(of_x).mul_(weight.unsqueeze(1)).addcmul_(_exp(of_y), weight)
    where_shared(shares, gradient).sub_(shares)
    return value, gradient


def _log_sums(logits: Tensor) -> Two:
    """Return the logarithms of the sums of exponentials, of rows (n,) and of columns (m,).

    One exponential does for both, unless it is not known to be good for all of them.
    """
    if near(logits) and logits.numel():
        top = logits.amax()
        raised = _exp(logits - top)
        sums = torch.cat((raised.sum(dim=1), raised.sum(dim=0)))
        if sums.amin().item() > FAINTEST:
            sums.log_().add_(top)
            return sums[: len(logits)], sums[len(logits) :]
    return logits.logsumexp(dim=1), logits.logsumexp(dim=0)


def _matched(logits: Tensor, sums: Two, shift: Tensor | None, weights: Two, shares: Tensor | None) -> Found:
    """Return minus the sum of shares times logits, and the gradient of the loss in place of the logits."""
    value = logits.new_zeros(()) if shares is None else sum_of_shares(shares, logits).neg_()
    gradient = _softmaxes(logits, sums, shift, weights)
    if shares is not None:
        where_shared(shares, gradient).sub_(shares)
    return value, gradient


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
