"""Decide for every two rows of two modalities, each on its own, whether they match."""

import math
from collections.abc import Mapping, Sequence

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from fusion.batch import Target
from fusion.embeddings import Embeddings
from fusion.objective import Objective
from fusion.objectives.pairs import (
    Pair,
    Positives,
    choose_pairs,
    cut_out,
    left_out,
    mean_of_pairs,
    positives,
    taking_part,
)
from fusion.objectives.softplus import softplus_sum
from fusion.objectives.tiles import products, sum_over_tiles


class Sigmoid(Objective):
    """The sigmoid loss of SigLIP (Zhai et al. 2023, eq. 1), with as many positives as there are.

    The sum over all two rows of -log sigmoid(z (t x.y + b)), z = 1 for positives and -1 for others, per
    row that takes part; then the mean over pairs of modalities that have a row in the batch. `pairs`,
    `hub` and `same` are those of `contrastive`; `scale` and `bias` are where the learnt t and b start.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        width: int,
        *,
        pairs: list[Pair] | None = None,
        hub: str | None = None,
        same: str | None = "label",
        scale: PositiveFloat = 10.0,
        bias: float = -10.0,
    ) -> None:
        super().__init__(modalities, width)
        self.pairs = choose_pairs(self.modalities, pairs, hub)
        self.same = same
        self.targets = {} if same is None else {same: Target(torch.long)}
        self.log_scale = nn.Parameter(torch.tensor([math.log(scale)]))  # FSDP takes no scalars
        self.bias = nn.Parameter(torch.tensor([bias]))

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        same = None if self.same is None else targets[self.same]
        losses, taking = [], []
        for pair in self.pairs:
            rows = taking_part(embeddings, pair)  # (b,)
            losses.append(self._pair(embeddings, pair, rows, positives(embeddings, pair, same, rows)))
            taking.append(rows)
        return mean_of_pairs(losses, taking)

    def _pair(self, embeddings: Embeddings, pair: Pair, rows: Tensor, positive: Positives) -> Tensor:
        x, y = (embeddings.visible(name) for name in pair)  # (b, w)
        x, y, positive, rows = cut_out(x, y, positive, rows)
        shut_out, half = left_out(rows), rows.to(x.dtype) / 2

        def measure(i: slice, j: slice, x: Tensor, y: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
            logits = shut_out(products(x, y, scale).add_(bias), i, j)
            # softplus(-z) of positives is softplus(z) - z
            return softplus_sum(logits, positive.shares(i, j, half))

        total = sum_over_tiles(measure, x, y, self.log_scale.exp(), self.bias)
        return total / rows.sum().clamp(min=1)
