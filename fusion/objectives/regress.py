"""Predict one or more numbers from the fused vector."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from fusion.batch import Target
from fusion.embeddings import Embeddings
from fusion.objective import Prediction, Task

if TYPE_CHECKING:
    from torchmetrics import MetricCollection

LOSSES: dict[str, Callable[..., Tensor]] = {"mse": F.mse_loss, "l1": F.l1_loss, "huber": F.huber_loss}


class Regress(Task):
    """Linear regression; NaN marks a number that is missing, also within a row.

    A target has the shape (outputs,), or () when there is one output, and predictions have it too. Give
    targets of about unit variance. The huber loss (Huber 1964) turns linear at an error of 1.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        width: int,
        *,
        target: str,
        outputs: PositiveInt = 1,
        loss: Literal["mse", "l1", "huber"] = "mse",
    ) -> None:
        super().__init__(modalities, width)
        self.target = target
        self.loss = LOSSES[loss]
        self.shape = () if outputs == 1 else (outputs,)
        self.targets = {target: Target(torch.float32, self.shape)}
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, outputs))

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        losses, known = self._losses(fused, targets)
        return losses.sum() / known.sum().clamp(min=1)

    def row_losses(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        losses, known = (part.reshape(len(fused), -1) for part in self._losses(fused, targets))
        return losses.sum(dim=1) / known.sum(dim=1).clamp(min=1)

    def predict(self, fused: Tensor) -> Prediction:
        numbers = self.head(fused.float()).float().reshape(-1, *self.shape)  # (b, ...)
        return Prediction(numbers, numbers)

    def _losses(self, fused: Tensor, targets: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the loss of every number, (b, ...), 0 where it is missing, and which are known."""
        target = targets[self.target].float()
        missing = target.isnan()
        # filled before the subtraction: the gradient of a masked NaN is NaN
        losses = self.loss(self.predict(fused).value, target.masked_fill(missing, 0.0), reduction="none")
        return losses.masked_fill(missing, 0.0), ~missing

    def metrics(self) -> "MetricCollection":
        from torchmetrics import MetricCollection

        from fusion.objectives.metrics import R2, MeanAbsoluteError

        return MetricCollection({"mae": MeanAbsoluteError(), "r2": R2()})
