"""Decide for every two rows of two modalities, each on its own, whether they match."""

import math
from collections.abc import Mapping, Sequence

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from fusion.batch import Target
from fusion.embeddings import Embeddings
from fusion.objective import Objective
from fusion.objectives.logits import sum_over_logits
from fusion.objectives.pairs import (
    Pair,
    Positives,
    choose_pairs,
    cut_out,
    left_out,
    mean_of_pairs,
    of_both,
    positives,
    taking_part,
)
from fusion.objectives.softplus import softplus_sum
from fusion.objectives.tiles import sum_over_tiles


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
            losses.append(self._pair(embeddings, pair, positives(embeddings, pair, same, rows)))
            taking.append(rows)
        return mean_of_pairs(losses, taking)

    def _pair(self, embeddings: Embeddings, pair: Pair, positive: Positives) -> Tensor:
        x, y = of_both(embeddings, pair, positive)  # (b, w)
        x, y, positive = cut_out(x, y, positive)
        shut_out, each, weight = left_out(positive), positive.weights(x), 1 / positive.number()

        def measure(i: slice, j: slice, *given: Tensor) -> Tensor:
            # softplus(-z) of positives is softplus(z) - z
            shares = positive.shares(i, j, each)
            return sum_over_logits(
                lambda logits: softplus_sum(shut_out(logits, i, j), weight, shares), *given
            )

        return sum_over_tiles(measure, x, y, self.log_scale, self.bias)
