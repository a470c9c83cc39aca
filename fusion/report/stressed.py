"""Show what was measured under a stress: every measure by severity and kind, and whether fusing helps."""

from collections.abc import Iterable, Mapping
from statistics import mean
from typing import NamedTuple

from fusion.report.charts import Fall, Step, falls
from fusion.report.figures import Chart
from fusion.report.flags import flags
from fusion.report.numbers import (
    NOTHING,
    brief,
    count,
    is_share,
    lower_is_better,
    plain,
    points,
    share,
    written,
)
from fusion.report.stress import Point, Record, Versus
from fusion.report.tables import Mark, Marked, Table

SUBSETS = 4  # that are drawn in one chart; of more the largest


class Measure(NamedTuple):
    """A metric that is shown: what it is called, and its key."""

    name: str
    key: str


def summary(record: Record) -> list[Table]:
    """Return the tables that tell the most: whether fusing helps, and every measure by severity."""
    return [*fusing(record), *(by_severity(record, damaged) for damaged in record.damaged), *flags(record)]


def kinds(record: Record) -> list[Table]:
    """Return the tables of every measure by kind and severity; none where all is of one kind."""
    if len({point.kind for point in record.points}) < 2:
        return []
    return [by_kind(record, damaged) for damaged in record.damaged]


def fusing(record: Record) -> list[Table]:
    """Return one table a task: what is damaged alone, fused with the others, and left out."""
    found = []
    for metric in _leading(record):
        rows = [
            _fusing(record, damaged, subset, metric, clean)
            for damaged, subsets in record.versus.items()
            for subset, clean in subsets.items()
            if metric in clean.fused and record.of(damaged)
        ]
        if rows:
            gain = "fused − left out"  # noqa: RUF001
            columns = ["damaged", "given", "rows", "clean", "alone", "fused", "left out", gain]
            columns.append(f"{gain}, {record.axis} {plain(record.severities[-1])}")
            note = (
                f"Mean over {_trials(record, *record.damaged)}. Alone: only what is damaged is given. "
                "Fused: all that is given, with the damage. Left out: only the rest is given. "
                "Red: leaving it out is better."
            )
            found.append(Table(f"Does fusing help? {metric}", columns, rows, note, 2))
    return found


def by_severity(record: Record, damaged: str) -> Table:
    """Return every measure by severity, the mean over any kinds, and its mean error."""
    rows = []
    for name, key in measures(record, damaged):
        means = [_mean(record.of(damaged, severity), key) for severity in record.severities]
        wrong = record.errors.get(damaged, {}).get(key)
        errors = [NOTHING, NOTHING] if wrong is None else [share(wrong.mean), points(wrong.relative)]
        if wrong is not None and not is_share(key):
            errors = [plain(wrong.mean), plain(wrong.relative)]
        rows.append([name, *(written(key, value) for value in (record.clean.get(key), *means)), *errors])
    many, mean_error = _kinds(record, damaged), record.mean_error
    columns = ["measure", "clean", *map(plain, record.severities), mean_error, f"relative {mean_error}"]
    over = f"the mean over {many} kinds, " if many > 1 else ""
    note = (
        f"By {record.axis}, {over}{count(record.rows)} rows; {mean_error}: the error (1 less a "
        f"share), averaged over {_trials(record, damaged)}; relative: less the clean error."
    )
    note += f" Measured with {' '.join(record.overrides)}." if record.overrides else ""
    return Table(f"{damaged} damaged", columns, rows, note)


def by_kind(record: Record, damaged: str) -> Table:
    """Return every measure by kind and severity; of retrieval, where what is damaged is the query."""
    rows = []
    for kind in dict.fromkeys(point.kind for point in record.of(damaged)):
        found = {point.severity: point.metrics for point in record.of(damaged) if point.kind == kind}
        for name, key in measures(record, damaged):
            if not key.startswith("retrieval/") or key.startswith(f"retrieval/{damaged}->"):
                values = [found.get(severity, {}).get(key) for severity in record.severities]
                rows.append([kind, name, *(written(key, value) for value in values)])
    columns = ["kind", "measure", *map(plain, record.severities)]
    return Table(f"{damaged} damaged, by kind", columns, rows, f"By {record.axis}.", 2)


def charts(record: Record) -> list[Chart]:
    """Return one chart a damaged modality and task: it alone, fused with the others, and left out."""
    return [
        _chart(record, damaged, metric)
        for metric in _leading(record)
        for damaged in record.damaged
        if f"subsets/{damaged}/{metric}" in record.clean and record.severities
    ]


def measures(record: Record, damaged: str) -> list[Measure]:
    """Return what is shown where a modality is damaged: tasks, alone and fused, zero-shot and retrieval."""
    subsets = dict.fromkeys([damaged, record.widest(damaged) or damaged])
    tasks = [
        Measure(f"{metric}, {subset}", f"subsets/{subset}/{metric}")
        for metric in _leading(record)
        for subset in subsets
    ]
    found = [one for one in tasks if one.key in record.clean]
    for key in dict.fromkeys(key for point in record.of(damaged) for key in point.metrics):
        match key.split("/"):
            case ["zero_shot", about, "accuracy"]:
                found.append(Measure(f"zero-shot, {about}", key))
            case ["retrieval", about, "hit@1" | "recall@1" as metric]:
                found.append(Measure(f"{metric}, {about.replace('->', ' → ')}", key))
    return found


def _kinds(record: Record, damaged: str) -> int:
    """Return in how many kinds these modalities are damaged."""
    return len({point.kind for point in record.of(damaged)})


def _trials(record: Record, *damaged: str) -> str:
    """Return over what a mean error is taken."""
    several = any(_kinds(record, one) > 1 for one in damaged)
    return f"every {'kind and ' if several else ''}{record.axis}"


def _leading(record: Record) -> list[str]:
    """Return the metric of each task that is shown, "METRIC" or "TASK/METRIC": accuracy, else its first."""
    found: dict[str, str] = {}
    for key in record.clean:
        section, _, *task, name = key.split("/")
        if section == "subsets" and name != "rows" and "averaged" not in task:
            metric = "/".join([*task, name])
            if name == "accuracy":
                found["/".join(task)] = metric
            found.setdefault("/".join(task), metric)
    return list(found.values())


def _mean(found: Iterable[Point], key: str) -> float | None:
    values = [point.metrics[key] for point in found if key in point.metrics]
    return mean(values) if values else None


def _fusing(record: Record, damaged: str, subset: str, metric: str, clean: Versus) -> list[str]:
    every = [point.versus[subset] for point in record.of(damaged)]
    worst = [point.versus[subset] for point in record.of(damaged, record.severities[-1])]
    alone, fused = mean(one.alone[metric] for one in every), mean(one.fused[metric] for one in every)
    without = clean.without[metric]
    gains = [fused - without, mean(one.fused[metric] for one in worst) - without]
    numbers = [clean.fused[metric], alone, fused, without]
    return [
        damaged,
        subset,
        count(clean.rows),
        *(written(metric, number) for number in numbers),
        *(_gain(metric, gain) for gain in gains),
    ]


def _gain(metric: str, gain: float) -> str:
    gain = round(gain, 6) + 0.0  # no minus before a zero
    text = points(gain) if is_share(metric) else plain(gain)
    worse = gain > 0 if lower_is_better(metric) else gain < 0
    return Marked(text, Mark.WORSE) if worse else text


def _chart(record: Record, damaged: str, metric: str) -> Chart:
    versus = record.versus.get(damaged, {})
    drawn = {
        name: clean
        for name, clean in versus.items()
        if len(versus) <= SUBSETS or name == max(versus, key=_size)
    }
    key = f"subsets/{damaged}/{metric}"
    alone = {severity: _mean(record.of(damaged, severity), key) for severity in record.severities}
    lines = [_fall(record, f"{damaged} alone", metric, {0: record.clean[key], **alone}, None)]
    for subset, clean in drawn.items():
        fused = {
            severity: mean(point.versus[subset].fused[metric] for point in record.of(damaged, severity))
            for severity in record.severities
        }
        lines.append(_fall(record, subset, metric, {0: clean.fused[metric], **fused}, clean.without[metric]))
    drawing = falls(
        lines,
        label=f"{metric} as {damaged} is damaged",
        axis_name=record.axis,
        level_name=f"the same without {damaged}",
        write=share if is_share(metric) else brief,
    )
    note = "Mean over kinds, by" if _kinds(record, damaged) > 1 else "By"
    note += f" {record.axis}; 0 is without damage."
    if drawn:
        note += f" Where a line is below the dashes of its colour, leaving {damaged} out would be better."
    return Chart(f"{metric}, {damaged} damaged", drawing, note)


def _fall(
    record: Record, name: str, metric: str, means: Mapping[float, float | None], level: float | None
) -> Fall:
    steps = [
        Step(severity, value, f"{name}, {record.axis} {plain(severity)}: {written(metric, value)}")
        for severity, value in means.items()
        if value is not None
    ]
    return Fall(name, steps, level)


def _size(subset: str) -> int:
    return subset.count("+")
