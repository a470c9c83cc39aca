"""Predict which of several labels apply, any number of them, from the fused vector."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from fusion.batch import Target
from fusion.embeddings import Embeddings
from fusion.objective import Prediction, Task

if TYPE_CHECKING:
    from torchmetrics import MetricCollection


class Multilabel(Task):
    """One logistic regression per class, with binary cross entropy over the labels that are known.

    A target holds 1 or 0 per class, and NaN where that is not known. A prediction's value is 1 where
    the probability is above one half.
    """

    def __init__(
        self, modalities: Sequence[str], width: int, *, classes: PositiveInt, target: str = "labels"
    ) -> None:
        super().__init__(modalities, width)
        self.target = target
        self.targets = {target: Target(torch.float32, (classes,))}
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        losses, known = self._losses(fused, targets)
        return losses.sum() / known.sum().clamp(min=1)

    def row_losses(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        losses, known = self._losses(fused, targets)
        return losses.sum(dim=1) / known.sum(dim=1).clamp(min=1)

    def predict(self, fused: Tensor) -> Prediction:
        score = self._logits(fused).sigmoid()  # (b, classes)
        return Prediction((score > 0.5).long(), score)

    def metrics(self) -> "MetricCollection":
        from torchmetrics import MetricCollection

        from fusion.objectives.metrics import MeanAveragePrecision

        return MetricCollection({"map": MeanAveragePrecision()})

    def _losses(self, fused: Tensor, targets: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the loss of every label, (b, classes), 0 where it is not known, and which are."""
        target = targets[self.target].float()
        missing = target.isnan()
        losses = F.binary_cross_entropy_with_logits(
            self._logits(fused), target.masked_fill(missing, 0.0), reduction="none"
        )
        return losses.masked_fill(missing, 0.0), ~missing

    def _logits(self, fused: Tensor) -> Tensor:
        return self.head(fused.float()).float()  # type: ignore[no-any-return]
