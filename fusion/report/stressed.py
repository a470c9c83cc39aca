"""Show what was measured under a stress: every measure by severity and kind, and whether fusing helps."""

from collections.abc import Callable, Iterable
from statistics import mean, pstdev
from typing import NamedTuple

from fusion.report.charts import Band, Place, bands
from fusion.report.figures import Chart
from fusion.report.numbers import NOTHING, brief, count, is_share, plain, points, share, written
from fusion.report.stress import Point, Record, Versus
from fusion.report.tables import Mark, Marked, Table


class Measure(NamedTuple):
    """A metric that is shown: what it is called, and its key."""

    name: str
    key: str


def summary(record: Record) -> list[Table]:
    """Return the tables that tell the most: whether fusing helps, and every measure by severity."""
    return [*fusing(record), *(by_severity(record, damaged) for damaged in record.damaged)]


def tables(record: Record) -> list[Table]:
    """Return all tables of a record."""
    return [*summary(record), *(by_kind(record, damaged) for damaged in record.damaged)]


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
                "Mean over kinds and severities. Alone: only what is damaged is given. Fused: all that is "
                "given, with the damage. Left out: only the rest is given. Red: leaving it out is better."
            )
            found.append(Table(f"Does fusing help? {metric}", columns, rows, note, 2))
    return found


def by_severity(record: Record, damaged: str) -> Table:
    """Return every measure by severity, the mean over kinds, and its mean error."""
    rows = []
    for name, key in measures(record, damaged):
        means = [_mean(record.of(damaged, severity), key) for severity in record.severities]
        wrong = record.errors.get(damaged, {}).get(key)
        errors = [NOTHING, NOTHING] if wrong is None else [share(wrong.mean), points(wrong.relative)]
        if wrong is not None and not is_share(key):
            errors = [plain(wrong.mean), plain(wrong.relative)]
        rows.append([name, *(written(key, value) for value in (record.clean.get(key), *means)), *errors])
    kinds = len({point.kind for point in record.of(damaged)})
    columns = ["measure", "clean", *map(plain, record.severities), "mCE", "relative mCE"]
    note = (
        f"By {record.axis}, the mean over {kinds} kinds, {count(record.rows)} rows. mCE: the error (1 less a "
        "share), averaged over kinds and severities; relative: less the clean error."
    )
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


def _leading(record: Record) -> list[str]:
    """Return the metric of each task that is shown, "METRIC" or "TASK/METRIC": accuracy, else its first."""
    found: dict[str, str] = {}
    for key in record.clean:
        section, _, metric = (key.split("/", 2) + ["", ""])[:3]
        *task, name = metric.split("/")
        if section == "subsets" and name != "rows" and "averaged" not in task:
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
    text = points(gain) if is_share(metric) else plain(gain)
    return Marked(text, Mark.WORSE) if is_share(metric) and round(gain, 3) < 0 else text


def _chart(record: Record, damaged: str, metric: str) -> Chart:
    lines = [
        Band(name, [Place(0, clean, 0, f"{name}, without damage: {written(metric, clean)}"), *places])
        for name, clean, of in _lines(record, damaged, metric)
        for places in [[_place(record, damaged, severity, metric, of) for severity in record.severities]]
    ]
    write: Callable[[float], str] = share if is_share(metric) else brief
    drawing = bands(lines, label=f"{metric} as {damaged} is damaged", axis_name=record.axis, write=write)
    note = f"{metric} by {record.axis}, 0 without damage: the mean over kinds, with one deviation to either side."
    return Chart(f"{metric}, {damaged} damaged", drawing, note)


def _lines(record: Record, damaged: str, metric: str) -> list[tuple[str, float, Callable[[Point], float]]]:
    """Return the lines of a chart: what they are called, where they begin, and what they show of a trial."""
    subset = record.widest(damaged)
    if subset is None:
        key = f"subsets/{damaged}/{metric}"
        return [(damaged, record.clean[key], lambda point: point.metrics[key])]
    clean = record.versus[damaged][subset]
    rest = "+".join(name for name in subset.split("+") if name not in damaged.split("+"))
    return [
        (f"{damaged} alone", clean.alone[metric], lambda point: point.versus[subset].alone[metric]),
        (f"{subset} fused", clean.fused[metric], lambda point: point.versus[subset].fused[metric]),
        (f"{damaged} left out: {rest}", clean.without[metric], lambda point: clean.without[metric]),
    ]


def _place(record: Record, damaged: str, severity: float, metric: str, of: Callable[[Point], float]) -> Place:
    values = [of(point) for point in record.of(damaged, severity)]
    title = f"{record.axis} {plain(severity)}: {written(metric, mean(values))}, {len(values)} kinds"
    return Place(severity, mean(values), pstdev(values), title)
