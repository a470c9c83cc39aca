"""What was found when modalities were damaged: the record that a run keeps, and how it is shown."""

from typing import Any

from pydantic import BaseModel

from fusion.report.tables import Table

FILE = "stress-{}.json"
"""Where a run keeps the record of a stress."""


class Versus(BaseModel):
    """The task metrics of the rows that have all of a subset, by name; a damaged modality is one of it."""

    rows: int
    alone: dict[str, float]  # what is damaged, and nothing else
    fused: dict[str, float]  # the whole subset, with what is damaged
    without: dict[str, float]  # the subset less what is damaged: it was left out


class Point(BaseModel):
    """What was measured in a trial."""

    damaged: str  # "image", or several: "image+audio"
    kind: str
    severity: float
    metrics: dict[str, float]  # of what is damaged, with the keys of metrics.json
    versus: dict[str, Versus]  # by subset


class Record(BaseModel):
    """The record of a stress: `clean` are the metrics without damage, of the same rows."""

    stress: str
    axis: str  # what a severity counts
    seed: int
    rows: int = 0
    bad_rows: int = 0
    told: dict[str, Any] = {}  # what only this stress has to say
    clean: dict[str, float] = {}
    versus: dict[str, dict[str, Versus]] = {}  # without damage, by what is damaged otherwise, and by subset
    points: list[Point] = []


def summary(record: Record) -> list[Table]:
    """Return the tables of a record."""
    return []
