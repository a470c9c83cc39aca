"""Choose the few numbers that stand at the top of a report."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from fusion.report.numbers import count, seconds, written
from fusion.report.scores import Score, Scores, by_source, finite, leading

RANKED = ("hit@1", "recall@1", "recall@10")


class Figure(NamedTuple):
    """One number in large type: what it is, and of how many rows."""

    value: str
    name: str
    note: str


def headline(scores: Scores) -> list[Figure]:
    """Return means over what was measured, never the best of it."""
    pairs = _first(scores.retrieval)
    subsets = _first(scores.subsets)  # from one modality to most
    most = [s for s in subsets if s.given == subsets[-1].given]
    fullest = [s for s in most if s.task == most[0].task]
    found = [
        _mean(
            "{} between modalities never trained together", [s for s in pairs if s.emergent is True], RANKED
        ),
        _mean("{} between modalities trained together", [s for s in pairs if s.emergent is False], RANKED),
        _mean("{} of retrieval", [s for s in pairs if s.emergent is None], RANKED),
        _mean("zero-shot {}", _first(scores.zero_shot), ("accuracy",)),
        *(_mean(f"{{}} with {_modalities(score)}", fullest, ("accuracy",)) for score in fullest[:1]),
        _time(scores.rest),
    ]
    return [figure for figure in found if figure is not None]


def _first(scores: Sequence[Score]) -> list[Score]:
    """Return the scores over all sources, otherwise those of the first."""
    return next(iter(by_source(sorted(scores, key=lambda score: score.source != "")).values()), [])


def _modalities(score: Score) -> str:
    return "one modality" if score.given == 1 else f"{score.given} modalities together"


def _mean(name: str, scores: Sequence[Score], preferred: Sequence[str]) -> Figure | None:
    metric = leading(scores, preferred)
    measured = [score for score in scores if finite(score.metrics.get(metric or ""))]
    if metric is None or not measured:
        return None
    value = sum(score.metrics[metric] for score in measured) / len(measured)
    first = measured[0]
    rows = {score.rows for score in measured}
    denominator = f"{count(first.rows)} rows" if first.rows is not None and len(rows) == 1 else ""
    about = first.about.replace("->", " → ") if len(measured) == 1 else f"mean of {len(measured)}"
    note = ", ".join(
        filter(None, (first.task, about, denominator, first.source and f"source {first.source}"))
    )
    return Figure(written(metric, float(value)), name.format(metric), note)


def _time(rest: dict[str, Any]) -> Figure | None:
    spent, speed = rest.get("train/seconds"), rest.get("train/rows_per_second")
    if not finite(spent):
        return None
    return Figure(
        seconds(spent), "of training", f"{count(round(speed))} rows a second" if finite(speed) else ""
    )
