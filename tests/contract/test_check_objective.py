"""Each check of an objective finds the bug that it is there for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusion import (
    Embeddings,
    PluginError,
    Prediction,
    Target,
    Task,
)
from fusion.testing import check_objective


class Votes(Task):
    """Logistic regression of one number, written out."""

    target = "vote"

    def __init__(self, modalities: Sequence[str], width: int) -> None:
        super().__init__(modalities, width)
        self.targets = {"vote": Target(torch.float32)}
        self.head = nn.Linear(width, 1)

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        known = ~targets["vote"].isnan()
        gaps = self.head(fused)[:, 0] - targets["vote"].nan_to_num()
        return gaps.square().masked_fill(~known, 0).sum() / known.sum().clamp(min=1)

    def predict(self, fused: Tensor) -> Prediction:
        score = self.head(fused)
        return Prediction(score[:, 0], score)

    def metrics(self) -> Any:
        from torchmetrics import MetricCollection

        from fusion.objectives.metrics import MeanAbsoluteError

        return MetricCollection({"mae": MeanAbsoluteError()})


def test_a_good_objective_passes() -> None:
    assert len(check_objective(Votes)) == 6


class Counting(Votes):
    """Weighs its loss by how often start_step was called, which a resumed training does not know."""

    times = 0

    def start_step(self, step: int, steps: int) -> None:
        self.times += 1

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        return super().forward(embeddings, fused, targets) * (1 + self.times)


class PerRow(Votes):
    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        return super().forward(embeddings, fused, targets).expand(len(fused))


class PlainNumber(Votes):
    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        return super().forward(embeddings, fused, targets).item()  # type: ignore[return-value]


class MeanOfNone(Votes):
    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        return super().forward(embeddings, fused, targets) / (~targets["vote"].isnan()).any()


class CountsAbsent(Votes):
    """Pulls all pooled vectors together, absent ones too."""

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        first, second, _ = embeddings.pooled.values()
        return super().forward(embeddings, fused, targets) + (first - second).square().mean()


class MasksTooLate(Votes):
    """The loss is clean, but the gradient of a masked NaN is NaN."""

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        absent = ~embeddings.present["text"]
        lengths = embeddings.pooled["text"].square().sum(1).masked_fill(absent, 0)
        return super().forward(embeddings, fused, targets) + lengths.sum()


class Constant(Votes):
    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        return super().forward(embeddings, fused, targets) + 1


class SometimesDetached(Votes):
    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        if targets["vote"].isnan().all():
            return torch.zeros(())
        return super().forward(embeddings, fused, targets)


class SpareVotes(Votes):
    def __init__(self, modalities: Sequence[str], width: int) -> None:
        super().__init__(modalities, width)
        self.spare = nn.Linear(1, 1)


class ShortAnswer(Votes):
    def predict(self, fused: Tensor) -> Prediction:
        value, score = super().predict(fused)
        return Prediction(value[:1], score)


class RelativeAnswer(Votes):
    def predict(self, fused: Tensor) -> Prediction:
        score = self.head(fused).softmax(dim=0)
        return Prediction(score[:, 0], score)


class OtherTarget(Votes):
    target = "veto"


class NoMetrics(Votes):
    def metrics(self) -> Any:
        from torchmetrics import MetricCollection

        return MetricCollection({})


class Probable(Votes):
    """Says that its numbers are probabilities."""

    probabilities = True


class Weary(Votes):
    def energy(self, fused: Tensor) -> Tensor:
        return fused


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            Probable,
            r"probabilities is True, and predict gave scores of shape \(8, 1\); expected \(b, classes\)",
        ),
        (Weary, r"energy gave shape \(8, 32\); expected \(8,\), or None"),
        (lambda modalities, width: nn.Identity(), r"it builds a Identity; expected a fusion\.Objective"),
        (PerRow, r"the loss has shape \(8,\); expected a scalar"),
        (Counting, "after other steps start_step gives another loss; expected one that depends on"),
        (PlainNumber, "forward gave a float; expected a tensor"),
        (MeanOfNone, "no row with a target: the loss is nan"),
        (CountsAbsent, "absent slots that hold nan change the loss; expected no influence"),
        (MasksTooLate, "absent slots that hold nan change the gradient of text"),
        (Constant, "the loss is 1.0 where no row takes part; expected 0"),
        (SometimesDetached, "the loss has no gradient; expected a differentiable one, also when it is 0"),
        (SpareVotes, r"parameter 'spare\.weight' gets no gradient"),
        (ShortAnswer, r"predict gave a value of shape \(1,\); expected \(8, \.\.\.\)"),
        (RelativeAnswer, "row 0 is predicted otherwise alone"),
        (OtherTarget, "target is 'veto'; expected one of its targets: vote"),
        (NoMetrics, r"metrics\(\) is empty; expected a metric"),
    ],
)
def test_a_faulty_objective_is_found(build: Callable[..., Any], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        check_objective(build)
