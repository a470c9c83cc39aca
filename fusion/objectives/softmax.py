"""Tell a row's partners from all other rows, by a softmax in both directions."""

import torch
from torch import Tensor

from fusion.division import division
from fusion.objectives.pairs import Positives
from fusion.objectives.tiles import products, sum_over_tiles, tiles, whole
from fusion.peek import surely

OUTSIDE = -1e30  # added to the logits of rows that do not take part: with -inf softmax would be NaN


def info_nce(x: Tensor, y: Tensor, scale: Tensor, positive: Positives, rows: Tensor) -> Tensor:
    """Return InfoNCE (Oord et al. 2018, eq. 4) from x to y, (b, w) both, and back: the mean of the two.

    Logits are `scale`, (1,), times x y^T. A row with several positives takes the mean of their losses, L_out
    of Khosla et al. 2020, eq. 2. The mean is over `rows`, (b,) bool, those that take part; 0 without any.

    Many rows are compared in tiles (Inf-CL, Cheng et al. 2024, algorithm 1): the first time for the logarithm
    of each row's and each column's sum, the second time for the loss and its gradient.
    """
    outside = torch.where(rows, 0.0, OUTSIDE).to(x.dtype)
    every = surely(rows)
    weight = rows.to(x.dtype) / (2 * rows.sum().clamp(min=1))  # (b,)

    def logits(i: slice, j: slice, x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
        found = products(x, y, scale)
        return found if every else found.add_(outside[j]).add_(outside[i].unsqueeze(1))

    def at_once(i: slice, j: slice, x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
        found = logits(i, j, x, y, scale)  # (b, b)
        from_x, from_y = found.log_softmax(dim=1), found.log_softmax(dim=0)
        if positive.own_only():
            return -(weight * (from_x.diagonal() + from_y.diagonal())).sum()
        both = positive(i, j)
        each = weight / both.sum(dim=1, dtype=torch.int32)
        matched = both * (each.unsqueeze(1) * from_x + each * from_y)
        return -matched.sum()

    if whole(x):
        return sum_over_tiles(at_once, x, y, scale)

    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        sums = x.new_full((2, len(x)), torch.finfo(x.dtype).min)  # of the rows, and of the columns
        count = torch.zeros_like(rows, dtype=torch.int32)
        for i, j in tiles(x):
            found = logits(i, j, x[i], y[j], scale)
            sums[0, i] = torch.logaddexp(sums[0, i], found.logsumexp(dim=1))
            sums[1, j] = torch.logaddexp(sums[1, j], found.logsumexp(dim=0))
            count[i] += positive(i, j).sum(dim=1, dtype=torch.int32)
        division().add_up(count)
        of_x, of_y = division().stack(sums).logsumexp(dim=0)
        each = weight / count

    def measure(i: slice, j: slice, x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
        found = logits(i, j, x, y, scale)
        from_x, from_y = found - of_x[i].unsqueeze(1), found - of_y[j]
        # the sum of a softmax is 1, and has the gradient that the logarithm of the row's sum has in the loss
        ones: Tensor = weight[i] @ from_x.exp().sum(dim=1) + from_y.exp().sum(dim=0) @ weight[j]
        if positive.none(i, j):
            return ones
        matched: Tensor = positive(i, j) * (each[i].unsqueeze(1) * from_x + each[j] * from_y)
        return ones - matched.sum()

    return sum_over_tiles(measure, x, y, scale) - 2 * weight.sum()
