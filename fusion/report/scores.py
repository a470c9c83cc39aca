"""Sort the flat metrics of a run into records: retrieval, zero-shot, subsets, training and the rest."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

KINDS = ("averaged", "calibrated")
"""Answers beside those of the fused vectors as they are: they stand before the metric in a key."""


@dataclass(frozen=True)
class Score:
    """The metrics of one thing that was measured: a pair, a modality or a subset."""

    source: str  # "" over all sources
    about: str  # "image->audio", "image", "image+audio"
    task: str = ""  # "" where there is one task
    metrics: dict[str, Any] = field(default_factory=dict)  # in the order of the file
    averaged: dict[str, Any] = field(default_factory=dict)  # the same, for averaged single modalities
    rows: int | None = None
    emergent: bool | None = None  # None where that is not recorded
    calibrated: dict[str, Any] = field(default_factory=dict)  # the same, at the temperature that was fitted

    @property
    def parts(self) -> tuple[str, str]:
        query, _, gallery = self.about.partition("->")
        return query, gallery

    @property
    def given(self) -> int:
        """How many modalities a subset has."""
        return self.about.count("+") + 1


@dataclass(frozen=True)
class Scores:
    """Everything in `metrics.json`, each number exactly once."""

    retrieval: list[Score]
    zero_shot: list[Score]
    subsets: list[Score]
    contribution: list[Score]
    trained: dict[str, int]  # rows seen in training by the modalities present, "image+text"
    parameters: dict[str, int]
    rest: dict[str, Any]


def sort(metrics: Mapping[str, Any]) -> Scores:
    """Sort metrics by their keys, `[source/NAME/]SECTION/ABOUT[/TASK]/METRIC`; unknown ones are the rest."""
    found: dict[str, dict[tuple[str, str, str], dict[str, Any]]] = {
        "retrieval": {},
        "zero_shot": {},
        "subsets": {},
        "contribution": {},
    }
    trained: dict[str, int] = {}
    parameters: dict[str, int] = {}
    rest: dict[str, Any] = {}
    for key, value in metrics.items():
        source, path = _source(key)
        match path:
            case [section, about, *task, metric] if section in found:
                kind = next((f"{part}/" for part in task if part in KINDS), "")
                name = "/".join(part for part in task if part not in KINDS)
                entry = found[section].setdefault((source, about, name), {})
                entry[kind + metric] = value
            case ["train", "rows", presence] if not source:
                trained[presence] = value
            case ["parameters", *part] if part and not source:
                parameters["/".join(part)] = value
            case _:
                rest[key] = value
    return Scores(
        retrieval=_scores(found["retrieval"]),
        zero_shot=_scores(found["zero_shot"]),
        subsets=sorted(_scores(found["subsets"]), key=lambda score: score.given),
        contribution=_scores(found["contribution"]),
        trained=trained,
        parameters=parameters,
        rest=rest,
    )


def modalities(scores: Iterable[Score]) -> list[str]:
    """Return the modalities of pairs in the order in which they first appear."""
    return list(dict.fromkeys(part for score in scores for part in score.parts))


def by_source(scores: Iterable[Score]) -> dict[str, list[Score]]:
    """Group scores by their source, in order."""
    groups: dict[str, list[Score]] = {}
    for score in scores:
        groups.setdefault(score.source, []).append(score)
    return groups


def finite(value: Any) -> TypeGuard[float]:
    """Whether this is a number that can be drawn."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def leading(scores: Iterable[Score], preferred: Iterable[str]) -> str | None:
    """Return the metric to draw: the first preferred one that is there, otherwise the first of all."""
    names = [name for score in scores for name, value in score.metrics.items() if finite(value)]
    return next((name for name in (*preferred, *names) if name in names), None)


def _source(key: str) -> tuple[str, list[str]]:
    match key.split("/"):
        case ["source", name, *path] if len(path) > 1:
            return name, path
        case path:
            return "", path


def _scores(entries: Mapping[tuple[str, str, str], dict[str, Any]]) -> list[Score]:
    scores = []
    for (source, about, task), entry in entries.items():
        metrics = {name: value for name, value in entry.items() if name not in ("rows", "emergent")}
        averaged, calibrated = (
            {
                name.removeprefix(f"{kind}/"): metrics.pop(name)
                for name in list(metrics)
                if name.startswith(f"{kind}/")
            }
            for kind in KINDS
        )
        if not (metrics or averaged):  # `subsets/image/rows` alone belongs to the tasks of that subset
            continue
        scores.append(
            Score(
                source=source,
                about=about,
                task=task,
                metrics=metrics,
                averaged=averaged,
                calibrated=calibrated,
                rows=entry.get("rows", entries.get((source, about, ""), {}).get("rows")),
                emergent=entry["emergent"] if isinstance(entry.get("emergent"), bool) else None,
            )
        )
    return scores
