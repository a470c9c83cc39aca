"""Count what tasks answer for every subset, batch by batch, so that no row's scores are kept."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fusion.batch import missing
from fusion.evaluation.calibration import Calibration
from fusion.evaluation.contributed import Contributed
from fusion.evaluation.spread import Spread
from fusion.evaluation.sweep import Rows, join
from fusion.evaluation.temperature import scaled
from fusion.model import Model
from fusion.objective import Task

if TYPE_CHECKING:
    from torchmetrics import MetricCollection

ROWS = 2_048
"""Rows that are counted together."""


class Tally:
    """Counts rows that come in the order of sources and rows, each once.

    `target` is that of which the confusion is counted, of so many `classes`. Probabilities are also
    measured at the `temperatures` that are given, by "subset/task". Without `unlabelled` what needs no
    target is left out.
    """

    def __init__(
        self,
        model: Model,
        target: str,
        classes: int,
        temperatures: Mapping[str, float] | None = None,
        *,
        unlabelled: bool = True,
    ) -> None:
        self.tasks, self.target, self.classes = model.tasks, target, classes
        self.unlabelled = unlabelled
        self.modalities = model.modalities
        self.labelled = False  # whether any row has the target
        self.confusion: dict[str, Tensor] = {}  # by "subset/task", true class by predicted class
        self.contributed = Contributed(model.modalities)
        self._waiting: list[Rows] = []
        self._metrics: dict[str, dict[str, MetricCollection]] = {}  # by "subset/task" and kind
        self._rows: Counter[str] = Counter()
        self._spread: dict[str, Spread] = {}
        self.temperatures = temperatures or {}
        self.trust: dict[str, dict[str, Calibration]] = {}  # by "subset/task" and kind

    def add(self, rows: Rows) -> None:
        """Count rows; of those that are there several times the first."""
        self.labelled |= not bool(missing(rows.targets[self.target]).all())
        self._waiting.append(rows.whole._replace(vectors={}, content={}, fused={}, energy={}))
        if sum(len(some.place["row"]) for some in self._waiting) >= ROWS:
            self._flush()

    def metrics(self) -> dict[str, Any]:
        """Every task for every subset, over the rows that have all of the subset and the target."""
        self._flush()
        metrics: dict[str, Any] = {}
        for answered, kinds in self._metrics.items():
            given, _, name = answered.partition("/")
            key = f"subsets/{given}" + (f"/{name}" if len(self.tasks) > 1 else "")
            if answered in self._spread:
                told = self.tasks[name].unlabelled(self._spread[answered].rows)
                metrics |= {f"{key}/{words}": value for words, value in told.items()}
            for kind, collection in kinds.items():
                metrics |= {f"{key}/{kind}{metric}": v.item() for metric, v in collection.compute().items()}
            for kind, trust in self.trust.get(answered, {}).items():
                metrics |= {f"{key}/{kind}{metric}": value for metric, value in trust.metrics().items()}
            if "calibrated/" in self.trust.get(answered, {}):
                metrics[f"{key}/calibrated/temperature"] = self.temperatures[answered]
            if kinds:
                metrics[f"{key}/rows"] = self._rows[answered]
        return metrics | self.contributed.metrics()

    def _flush(self) -> None:
        if not self._waiting:
            return
        rows, self._waiting = join(self._waiting), []
        self.contributed.add(rows)
        for answered, score in rows.scores.items():
            self._answered(answered, score, rows)

    def _answered(self, answered: str, score: Tensor, rows: Rows) -> None:
        given, _, name = answered.partition("/")
        subset, task = given.split("+"), self.tasks[name]
        kinds = self._metrics.setdefault(answered, {})
        target, having = rows.targets[task.target], rows.having(subset)
        chosen = having & ~missing(target).reshape(len(target), -1).all(dim=1)
        if self.unlabelled and having.any() and type(task).unlabelled is not Task.unlabelled:
            self._spread.setdefault(answered, Spread()).add(score[having])
        if not chosen.any():
            return
        answers = {"": score}
        if len(subset) > 1 and all(f"{single}/{name}" in rows.scores for single in subset):
            # the baseline that needs no fuser: the single modalities' answers, averaged
            answers["averaged/"] = task.average([rows.scores[f"{single}/{name}"] for single in subset])
        for kind, answer in answers.items():
            if kind not in kinds:
                kinds[kind] = _alone(task)
            kinds[kind].update(answer[chosen], target[chosen])
        if task.probabilities:
            self._trust(answered, score[chosen], target[chosen])
        self._rows[answered] += int(chosen.sum())
        if len(subset) in (1, len(self.modalities)) and task.target == self.target:
            self._confuse(answered, score, having, rows.labels(self.target))

    def _trust(self, answered: str, score: Tensor, target: Tensor) -> None:
        kinds = self.trust.setdefault(answered, {"": Calibration()})
        kinds[""].add(score, target)
        if answered in self.temperatures:
            warm = scaled(score, self.temperatures[answered])
            kinds.setdefault("calibrated/", Calibration()).add(warm, target)

    def _confuse(self, answered: str, score: Tensor, having: Tensor, labels: Tensor) -> None:
        chosen = having & (labels != -100)
        if score.ndim == 2 and score.shape[1] == self.classes and chosen.any():
            cells = labels[chosen] * self.classes + score[chosen].argmax(dim=1)
            counts = torch.bincount(cells, minlength=self.classes**2).view(self.classes, self.classes)
            self.confusion[answered] = self.confusion.get(answered, 0) + counts


def _alone(task: Task) -> "MetricCollection":
    """Return fresh metrics of a task that ask no other rank: one counts all rows."""
    collection = task.metrics()
    for metric in collection.values():
        metric.distributed_available_fn = _never
    return collection


def _never() -> bool:
    return False


def tallies(
    model: Model, target: str, classes: Sequence[str], sources: int, temperatures: Mapping[str, float]
) -> list[Tally]:
    """Return a tally of all rows, and one of each source where there are several."""
    count = 1 + (sources if sources > 1 else 0)
    return [Tally(model, target, len(classes), temperatures) for _ in range(count)]
