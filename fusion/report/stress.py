"""What was measured when modalities were damaged: the record that a run keeps, and the errors in it."""

from collections.abc import Iterable
from statistics import mean
from typing import Any

from pydantic import BaseModel

from fusion.report.numbers import is_share, lower_is_better

FILE = "stress-{}.json"
"""Where a run keeps the record of a stress, by its name."""

Metrics = dict[str, float]


class Versus(BaseModel):
    """The metrics of the tasks on the rows that have all of a subset of modalities, with the damaged ones."""

    rows: int
    alone: Metrics  # given what is damaged, and nothing else
    fused: Metrics  # given the whole subset
    without: Metrics  # given the subset less what is damaged


class Point(BaseModel):
    """What was measured in a trial."""

    damaged: str  # "image", or several: "image+audio"
    kind: str
    severity: float
    metrics: Metrics  # of what is damaged, by the keys of metrics.json
    versus: dict[str, Versus]  # by subset


class Errors(BaseModel):
    """How wrong a metric is: 1 less a share, or the metric itself where less is better.

    Without a model to compare with, the mean error is that over kinds and severities, as Hendrycks et al.
    2020 (AugMix) have it for corruptions (mCE), and the relative one is what it exceeds the clean error by:
    the sums of Hendrycks & Dietterich 2019, without their division by those of AlexNet.
    """

    clean: float
    mean: float
    relative: float


class Record(BaseModel):
    """The record of a stress: what was measured without damage, and in every trial, on the same rows."""

    stress: str
    axis: str  # what a severity counts
    mean_error: str = "mean error"  # how the error over all trials is called, such as "mCE"
    seed: int
    overrides: list[str] = []  # of the recipe, that say what was measured
    rows: int = 0
    bad_rows: int = 0
    told: dict[str, Any] = {}  # what only this stress has to say
    clean: Metrics = {}
    versus: dict[str, dict[str, Versus]] = {}  # without damage, by what the trials damage, and by subset
    points: list[Point] = []
    errors: dict[str, dict[str, Errors]] = {}  # by what is damaged, and by metric

    @property
    def damaged(self) -> list[str]:
        return list(dict.fromkeys(point.damaged for point in self.points))

    @property
    def severities(self) -> list[float]:
        """Those that damage anything, in order."""
        return sorted({point.severity for point in self.points} - {0})

    def of(self, damaged: str, severity: float | None = None) -> list[Point]:
        """Return the trials that damage these modalities, at one severity or at all that damage anything."""
        wanted = self.severities if severity is None else [severity]
        return [point for point in self.points if point.damaged == damaged and point.severity in wanted]

    def widest(self, damaged: str) -> str | None:
        """Return the largest subset that was measured with these modalities and others; None without any."""
        return max(self.versus.get(damaged, {}), key=lambda subset: subset.count("+"), default=None)

    def with_errors(self) -> "Record":
        """Return the record with the errors of every metric that has one."""
        found = {damaged: dict(_errors(self.clean, self.of(damaged))) for damaged in self.damaged}
        return self.model_copy(update={"errors": found})


def error(metric: str, value: float) -> float | None:
    """Return how wrong a value of a metric is; None for one that is no error and no share."""
    if is_share(metric):
        return 1 - value
    return value if lower_is_better(metric) else None


def _errors(clean: Metrics, points: list[Point]) -> Iterable[tuple[str, Errors]]:
    for key, value in clean.items():
        at_best = error(key, value)
        wrong = [error(key, point.metrics[key]) for point in points if key in point.metrics]
        known = [one for one in wrong if one is not None]
        if at_best is not None and known:
            yield key, Errors(clean=at_best, mean=mean(known), relative=mean(known) - at_best)
