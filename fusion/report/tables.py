"""Lay the numbers of a run out in tables."""

import json
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from fusion.report.numbers import NOTHING, count, is_share, points, seconds, written
from fusion.report.scores import Score, Scores, finite

TRUST = ("ece", "ece_adaptive", "brier", "nll", "aurc")
"""Metrics that have a table of their own."""


class Mark(StrEnum):
    """What a cell is marked as, on a terminal and on a page."""

    WORSE = "worse"
    BEST = "best"


class Marked(str):
    """The text of a marked cell."""

    mark: Mark

    def __new__(cls, text: str, mark: Mark) -> "Marked":
        made = super().__new__(cls, text)
        made.mark = mark
        return made


class Table(NamedTuple):
    """One table; the first `names` columns are texts, the others numbers."""

    caption: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""
    names: int = 1


def results(scores: Scores) -> list[Table]:
    """Return the tables of what was measured; what was not has none."""
    return [
        *_retrieval(scores.retrieval),
        *_zero_shot(scores.zero_shot),
        *_subsets(scores.subsets),
        *_contributions(scores.contribution),
        *_counts("Rows seen in training", "present", "rows", scores.trained),
        *_counts("Parameters", "part", "parameters", scores.parameters),
        *_rest({key: value for key, value in scores.rest.items() if not key.startswith("foreign/")}),
    ]


def bad_rows(ledger: Sequence[Mapping[str, Any]], most: int = 20) -> Table:
    columns = list(dict.fromkeys(key for entry in ledger[:most] for key in entry))
    rows = [[_text(entry.get(column)) for column in columns] for entry in ledger[:most]]
    shown = f"the first {most} of {count(len(ledger))}" if len(ledger) > most else f"all {len(ledger)}"
    return Table(
        "Rows that could not be read", columns, rows, f"Skipped, never replaced; {shown}.", len(columns)
    )


def versions(manifest: Mapping[str, Any]) -> list[Table]:
    """Return one table of the single values and one of each mapping in a manifest."""
    single = {key: value for key, value in manifest.items() if not isinstance(value, Mapping)}
    tables = [_record("This run", single)] if single else []
    return tables + [
        _record(key, value) for key, value in manifest.items() if isinstance(value, Mapping) and value
    ]


def _retrieval(scores: Sequence[Score]) -> list[Table]:
    if not scores:
        return []
    sourced, metrics = _sourced(scores), _metrics(scores)
    rows = [
        [
            *([score.source or "all"] if sourced else []),
            score.about.replace("->", " → "),
            _SEEN[score.emergent],
            _rows(score),
            *(written(metric, score.metrics.get(metric)) for metric in metrics),
        ]
        for score in scores
    ]
    columns = [*(["source"] if sourced else []), "query → gallery", "pair", "rows", *metrics]
    note = "Each distinct sample of one modality looks for its match in the other; ties count against it."
    if "gap" in metrics:
        note += " Gap: how far the means of both lie apart, 0 to 2."
    if any(score.emergent for score in scores):
        note += " Emergent: the two never met in training."
    return [Table("Retrieval", columns, rows, note, 2 + sourced)]


_SEEN = {True: "emergent", False: "trained", None: NOTHING}


def _zero_shot(scores: Sequence[Score]) -> list[Table]:
    if not scores:
        return []
    note = "Each row takes the class whose text lies nearest; no classifier was trained for it."
    return [_by_metric("Zero-shot", "modality", scores, note)]


def _subsets(scores: Sequence[Score]) -> list[Table]:
    """Return one table a task, as tasks have different metrics."""
    tables = []
    for task in dict.fromkeys(score.task for score in scores):
        chosen = [score for score in scores if score.task == task]
        note = "Only these modalities are given, of the rows that have all of them."
        if any(score.averaged for score in chosen):
            note += " Averaged: the single modalities' answers, averaged without a fuser, on the same rows."
        if any("snd" in score.metrics for score in chosen):
            note += " Entropy (lower is surer) and snd (soft neighbourhood density) need no label."
        caption = f"Subsets of modalities: {task}" if task else "Subsets of modalities"
        tables.append(_by_metric(caption, "given", chosen, note))
    return tables


def _contributions(scores: Sequence[Score]) -> list[Table]:
    """Return one table a task, as they answer in different units."""
    tables = []
    for task in dict.fromkeys(score.task for score in scores):
        chosen = [score for score in scores if score.task == task]
        note = (
            "Shapley values, over the rows that have the modality: what it adds to the score of the answer, "
            "averaged over all orders in which modalities could be shown; as sizes, and with signs."
        )
        caption = f"Contributions: {task}" if task else "Contributions"
        tables.append(_by_metric(caption, "modality", chosen, note))
    return tables


def _by_metric(caption: str, name: str, scores: Sequence[Score], note: str) -> Table:
    sourced, metrics = _sourced(scores), _metrics(scores)
    averaged = list(dict.fromkeys(metric for score in scores for metric in score.averaged))
    rows = []
    for score in scores:
        row = [*([score.source or "all"] if sourced else []), score.about, _rows(score)]
        row += [written(metric, score.metrics.get(metric)) for metric in metrics]
        for metric in averaged:
            row += [written(metric, score.averaged.get(metric)), _gain(metric, score)]
        rows.append(row)
    columns = [*(["source"] if sourced else []), name, "rows", *metrics]
    columns += [column for metric in averaged for column in (f"{metric}, averaged", "fused − averaged")]  # noqa: RUF001
    return Table(caption, columns, rows, note, 1 + sourced)


def _gain(metric: str, score: Score) -> str:
    fused, baseline = score.metrics.get(metric), score.averaged.get(metric)
    if fused is None or baseline is None or not (finite(fused) and finite(baseline)):
        return NOTHING
    return f"{points(fused - baseline)} points" if is_share(metric) else written("", float(fused - baseline))


def _counts(caption: str, name: str, number: str, values: Mapping[str, int]) -> list[Table]:
    if not values:
        return []
    total = sum(value for value in values.values() if finite(value))
    rows = [
        [key, written("", value), f"{100 * value / total:.1f} %" if finite(value) and total else NOTHING]
        for key, value in values.items()
    ]
    return [Table(caption, [name, number, f"of {count(round(total))}"], rows)]


def _rest(values: Mapping[str, Any]) -> list[Table]:
    if not values:
        return []
    rows = [
        [key, seconds(value) if key.endswith("seconds") and finite(value) else written(key, value)]
        for key, value in values.items()
    ]
    return [Table("Further numbers", ["metric", "value"], rows)]


def _record(caption: str, values: Mapping[str, Any]) -> Table:
    """Return a mapping as a table; where its values are mappings, their keys are the columns."""
    if all(isinstance(value, Mapping) for value in values.values()):
        columns = list(dict.fromkeys(key for value in values.values() for key in value))
        rows = [[key, *(_text(value.get(column)) for column in columns)] for key, value in values.items()]
        return Table(caption, ["name", *columns], rows, names=1 + len(columns))
    return Table(caption, ["name", "value"], [[key, _text(value)] for key, value in values.items()], names=2)


def _text(value: Any) -> str:
    if isinstance(value, Mapping | list):
        return json.dumps(value, ensure_ascii=False)
    return NOTHING if value is None else str(value)


def _sourced(scores: Iterable[Score]) -> bool:
    return any(score.source for score in scores)


def _metrics(scores: Iterable[Score]) -> list[str]:
    return list(dict.fromkeys(metric for score in scores for metric in score.metrics if metric not in TRUST))


def _rows(score: Score) -> str:
    return written("rows", score.rows)
