"""Predict one of several classes from the fused vector."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from fusion.batch import MISSING, Target
from fusion.embeddings import Embeddings
from fusion.objective import Prediction, Task
from fusion.objectives.selection import entropy, neighbourhood_density

if TYPE_CHECKING:
    from torchmetrics import MetricCollection


class Classify(Task):
    """Softmax regression with cross entropy over the rows that have the label.

    `smoothing` spreads that share of the probability over all classes (Szegedy et al. 2016, section 7).
    """

    probabilities = True

    def __init__(
        self,
        modalities: Sequence[str],
        width: int,
        *,
        classes: Annotated[int, Field(ge=2)],
        target: str = "label",
        smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__(modalities, width)
        self.classes = classes
        self.target = target
        self.smoothing = smoothing
        self.targets = {target: Target(torch.long, below=classes)}
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        label = targets[self.target]  # (b,)
        # the mean of no row is NaN: take the sum and divide
        total = F.cross_entropy(
            self.logits(fused),
            label,
            ignore_index=MISSING,
            reduction="sum",
            label_smoothing=self.smoothing,
        )
        return total / (label != MISSING).sum().clamp(min=1)

    def row_losses(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Return the cross entropy of each row with its label, (b,)."""
        label = targets[self.target]
        return F.cross_entropy(self.logits(fused), label, ignore_index=MISSING, reduction="none")

    def predict(self, fused: Tensor) -> Prediction:
        score = self.logits(fused).softmax(dim=-1)  # (b, classes)
        return Prediction(score.argmax(dim=-1), score)

    def average(self, scores: Sequence[Tensor]) -> Tensor:
        """Return the normalised geometric mean of probabilities: the mean of their logarithms."""
        return torch.stack([score.clamp(min=1e-12).log() for score in scores]).mean(dim=0).softmax(dim=-1)

    def metrics(self) -> "MetricCollection":
        from torchmetrics import MetricCollection
        from torchmetrics.classification import MulticlassAccuracy

        return MetricCollection({"accuracy": MulticlassAccuracy(self.classes, average="micro")})

    def unlabelled(self, score: Tensor) -> dict[str, float]:
        return {"entropy": entropy(score), "snd": neighbourhood_density(score)}

    def logits(self, fused: Tensor) -> Tensor:
        return self.head(fused.float()).float()  # type: ignore[no-any-return]
