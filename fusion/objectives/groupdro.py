"""Classify every source as well as the worst of them."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat
from torch import Tensor

from fusion.batch import MISSING
from fusion.embeddings import Embeddings
from fusion.objectives.classify import Classify
from fusion.objectives.domains import by_source


class Groupdro(Classify):
    """`classify`, where the sources with the larger loss weigh more: group DRO (Sagawa et al. 2020, alg. 1).

    The weight of a source is multiplied by exp(`rate` x its loss) at each step, and all are normalised. A
    source without a label in the batch does not take part.
    """

    weights: Tensor  # (sources,)
    next: Tensor  # (sources,) those of the next step

    def __init__(
        self,
        modalities: Sequence[str],
        width: int,
        sources: Sequence[str],
        *,
        classes: Annotated[int, Field(ge=2)],
        target: str = "label",
        smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        rate: PositiveFloat = 0.01,
    ) -> None:
        super().__init__(modalities, width, classes=classes, target=target, smoothing=smoothing)
        self.rate = rate
        self.register_buffer("weights", torch.full((len(sources),), 1 / len(sources)))
        self.register_buffer("next", self.weights.clone())

    def start_step(self, step: int, steps: int) -> None:
        if step == 0:  # `init` may have handed on those of other sources
            self.next.fill_(1 / len(self.next))
        self.weights.copy_(self.next)

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        label = targets[self.target]  # (b,)
        each = F.cross_entropy(
            self.logits(fused),
            label,
            ignore_index=MISSING,
            reduction="none",
            label_smoothing=self.smoothing,
        )
        members = by_source(embeddings.source, label != MISSING, len(self.weights))  # (sources, b)
        counts = members.sum(dim=1)
        losses = (members * each).sum(dim=1) / counts.clamp(min=1)  # (sources,)
        weights = self.weights * (self.rate * losses.detach()).exp()
        weights = weights / weights.sum()
        if self.training:
            self.next.copy_(weights)  # which start_step takes over: a loss depends on no other
        shown = weights * (counts > 0)
        return (shown * losses).sum() / shown.sum().clamp(min=torch.finfo(shown.dtype).tiny)
