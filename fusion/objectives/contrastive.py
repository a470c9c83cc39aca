"""Pull matching rows of two modalities together and push the others apart, by a softmax over rows."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from fusion.batch import Target
from fusion.embeddings import Embeddings
from fusion.objective import Objective
from fusion.objectives.pairs import Pair, choose_pairs, mean_of_pairs, of_both, positives, taking_part
from fusion.objectives.softmax import info_nce
from fusion.peek import near

MAX_SCALE = 100.0


class Contrastive(Objective):
    """InfoNCE (Oord et al. 2018, eq. 4) in both directions, as in CLIP (Radford et al. 2021, figure 3).

    A row with several positives takes the mean of their losses, L_out of Khosla et al. 2020, eq. 2. The
    loss is the mean over pairs of modalities that have a row in the batch. `pairs` lists them, or `hub`
    is bound to every other modality; with neither, all pairs are compared. Rows with an equal target
    `same` are positives. `temperature` is where the learnt one starts; it stays above 0.01.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        width: int,
        *,
        pairs: list[Pair] | None = None,
        hub: str | None = None,
        same: str | None = "label",
        temperature: Annotated[float, Field(ge=1 / MAX_SCALE)] = 0.07,
    ) -> None:
        super().__init__(modalities, width)
        self.pairs = choose_pairs(self.modalities, pairs, hub)
        self.same = same
        self.targets = {} if same is None else {same: Target(torch.long)}
        self.log_scale = nn.Parameter(torch.tensor([-math.log(temperature)]))  # FSDP takes no scalars

    @property
    def log_of_scale(self) -> Tensor:
        """The logarithm of one over the temperature, (1,), at most that of 100."""
        most = math.log(MAX_SCALE)
        if near(self.log_scale) and self.log_scale.item() <= most:
            return self.log_scale
        # clamp() would give no gradient beyond the limit, and the temperature could never come back
        return self.log_scale - (self.log_scale.detach() - most).clamp(min=0)

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        same = None if self.same is None else targets[self.same]
        losses, taking, log_scale = [], [], self.log_of_scale
        for pair in self.pairs:
            rows = taking_part(embeddings, pair)  # (b,)
            positive = positives(embeddings, pair, same, rows)
            x, y = of_both(embeddings, pair, positive)  # (b, w)
            losses.append(info_nce(x, y, log_scale, positive))
            taking.append(rows)
        return mean_of_pairs(losses, taking)
