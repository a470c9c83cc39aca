"""Each check of an objective finds the bug that it is there for."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from fusion import (
    Embeddings,
    PluginError,
    Prediction,
    Target,
    Task,
)
from fusion.objectives.metrics import MeanAbsoluteError
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
        return MetricCollection({"mae": MeanAbsoluteError()})


def test_a_good_objective_passes() -> None:
    assert len(check_objective(Votes)) == 7


class Counting(Votes):
    """Weighs its loss by how often start_step was called, which a resumed training does not know."""

    times = 0

    def start_step(self, step: int, steps: int) -> None:
        self.times += 1

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        return super().forward(embeddings, fused, targets) * (1 + self.times)


class Grows(Votes):
    """Keeps how many batches it saw, which a resumed training does not know."""

    batches = 0

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        self.batches += 1
        return super().forward(embeddings, fused, targets) * self.batches


class Remembers(Votes):
    """Keeps the same where it is saved."""

    batches: Tensor

    def __init__(self, modalities: Sequence[str], width: int) -> None:
        super().__init__(modalities, width)
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        self.batches += 1
        return super().forward(embeddings, fused, targets) * self.batches.clone()


def test_what_is_kept_between_batches_may_be_saved() -> None:
    assert "saved weights give another build the same loss" in check_objective(Remembers)


class Fills(Votes):
    """Spoils the targets for the objectives that come after."""

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        loss = super().forward(embeddings, fused, targets)
        targets["vote"].nan_to_num_()
        return loss


class Halves(Votes):
    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        return super().forward(embeddings, fused.div_(2), targets)


class Drawn(Votes):
    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        return super().forward(embeddings, fused, targets) * random.random()


class OnTheCPU(Votes):
    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        return super().forward(embeddings, fused * torch.ones(fused.shape[1]), targets)


class Stale(Metric):
    """A mean of scores whose sums are no states, so that nothing empties them."""

    def __init__(self) -> None:
        super().__init__()
        self.total, self.count = torch.zeros(()), 0

    def update(self, score: Tensor, target: Tensor) -> None:
        self.total, self.count = self.total + score.sum(), self.count + len(score)

    def compute(self) -> Tensor:
        return self.total / self.count


class StaleMetrics(Votes):
    def metrics(self) -> Any:
        return MetricCollection({"mean": Stale()})


class OneForAll(Votes):
    kept = MetricCollection({"mae": MeanAbsoluteError()})

    def metrics(self) -> Any:
        return self.kept


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
        (Grows, "with its saved weights the loss differs by .*kept from one batch for the next"),
        (Fills, r"forward changes what it is given \(vote\); expected new tensors"),
        (Halves, r"forward changes what it is given \(fused\)"),
        (Drawn, "equal batches and weights give another loss; expected every random number to come from"),
        (OnTheCPU, "forward mixes devices"),
        (StaleMetrics, "metric 'mean' is .* after a reset, and .* when it is fresh"),
        (OneForAll, r"metrics\(\) gives the same ones again; expected new ones"),
        (NoMetrics, r"metrics\(\) is empty; expected a metric"),
    ],
)
def test_a_faulty_objective_is_found(build: Callable[..., Any], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        check_objective(build)
