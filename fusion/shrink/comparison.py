"""What a model was before and is after it was made smaller, and whether that may be."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from fusion.errors import RunError, unknown
from fusion.report.numbers import is_share, lower_is_better
from fusion.report.scores import Score, finite, sort

SHOWN = ("hit@1", "recall@1")


class Line(NamedTuple):
    """A figure before and after; `kept` says whether the gate lets it pass, None where it is not asked."""

    key: str
    before: float | None
    after: float | None
    kept: bool | None = None


def compare(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    keys: Sequence[str],
    gate: Collection[str],
    drop: float,
) -> list[Line]:
    """Return a line for each key; those of `gate` may become worse by at most `drop`, in their own unit.

    Of errors and losses less is better, of other metrics more. One that is no longer there, or no number,
    does not pass.
    """
    return [
        Line(
            key,
            _number(before.get(key)),
            _number(after.get(key)),
            _kept(key, before[key], after.get(key), drop) if key in gate else None,
        )
        for key in keys
    ]


def headlines(metrics: Mapping[str, Any], of_tasks: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the keys of metrics that a table shows, and those of them that decide.

    Hit@1 and recall@1 of each pair, of which the first that is there decides; zero-shot accuracy; and of each
    task, with each subset of the modalities, the first of its metrics, which are `of_tasks`. They are those
    over all sources.
    """
    scores = sort({key: value for key, value in metrics.items() if not key.startswith("source/")})
    shown, deciding = [], []
    for section, found, wanted in (
        ("retrieval", scores.retrieval, SHOWN),
        ("zero_shot", scores.zero_shot, ("accuracy",)),
        ("subsets", scores.subsets, tuple(of_tasks)),
    ):
        for score in found:
            keys = list(_keys(section, score, wanted))
            shown += keys[:1] if section == "subsets" else keys
            deciding += keys[:1]
    return shown, deciding


def expect_known(keys: Sequence[str], metrics: Mapping[str, Any]) -> None:
    """Raise RunError for a key that is no number of these metrics."""
    for key in keys:
        if not finite(metrics.get(key)):
            numbers = [name for name, value in metrics.items() if finite(value)]
            raise RunError(f"--metric: {unknown('metric', key, numbers)}")


def _keys(section: str, score: Score, wanted: Sequence[str]) -> Iterator[str]:
    place = "/".join(part for part in (section, score.about, score.task) if part)
    names = [name for name in score.metrics if name in wanted]
    for name in names if section == "subsets" else [name for name in wanted if name in names]:
        if finite(score.metrics[name]):
            yield f"{place}/{name}"


def _kept(key: str, before: float, after: Any, drop: float) -> bool:
    if not finite(after):
        return False
    worse = after - before if lower_is_better(key) else before - after
    return bool(worse <= drop + 1e-9)  # 0.99 - 0.98 is more than 0.01


def _number(value: Any) -> float | None:
    return float(value) if finite(value) else None


def told(line: Line) -> str:
    """Say why a line does not pass."""
    if line.after is None or line.before is None:
        return f"{line.key} is no longer measured"
    change = abs(line.after - line.before)
    amount = f"{100 * change:.2f} points" if is_share(line.key) else f"{change:.4g}"
    return f"{line.key} is worse by {amount}"
