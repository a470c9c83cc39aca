"""Metrics of several numbers per row that leave out the numbers that are missing (NaN in the target)."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import binary_average_precision
from torchmetrics.utilities import dim_zero_cat


class Column(NamedTuple):
    """The known values of one output, and what was predicted for them."""

    score: Tensor  # (n,)
    target: Tensor  # (n,)


class Columns(Metric):
    """Keeps all rows until the end, for metrics that are means over outputs."""

    full_state_update = False
    scores: list[Tensor]
    targets: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("scores", [], dist_reduce_fx="cat")
        self.add_state("targets", [], dist_reduce_fx="cat")

    def update(self, score: Tensor, target: Tensor) -> None:
        self.scores.append(score.detach().reshape(len(score), -1))
        self.targets.append(target.reshape(len(target), -1))

    def columns(self) -> Iterator[Column]:
        """Yield every output's known values."""
        for score, target in zip(dim_zero_cat(self.scores).T, dim_zero_cat(self.targets).T, strict=True):
            known = ~target.isnan()
            yield Column(score[known], target[known])


class MeanAbsoluteError(Columns):
    """The mean of |score - target| over all known numbers; NaN when there is none."""

    def compute(self) -> Tensor:
        return torch.cat([(column.score - column.target).abs() for column in self.columns()]).mean()


class R2(Columns):
    """The share of the variance that is explained, averaged over the outputs whose target varies.

    torchmetrics' own raises on a single row and is infinite for a target that does not vary.
    """

    def compute(self) -> Tensor:
        shares = []
        for score, target in self.columns():
            if len(target) > 1 and (target != target[0]).any():
                residual = (score - target).square().sum()
                shares.append(1 - residual / (target - target.mean()).square().sum())
        return torch.stack(shares).mean() if shares else torch.tensor(torch.nan)


class MeanAveragePrecision(Columns):
    """The average precision, averaged over the classes that have a positive.

    torchmetrics' own counts a class without a positive as 0, and fails on one without a known label.
    """

    def compute(self) -> Tensor:
        precisions = [
            binary_average_precision(score, (target > 0.5).long())
            for score, target in self.columns()
            if (target > 0.5).any()
        ]
        return torch.stack(precisions).mean() if precisions else torch.tensor(torch.nan)
