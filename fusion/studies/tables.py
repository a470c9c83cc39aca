"""Lay a comparison out in tables."""

from fusion.report.numbers import is_share, lower_is_better, points, share, written
from fusion.report.tables import Mark, Marked, Table
from fusion.studies.compare import Comparison, Spread


def tables(found: Comparison) -> list[Table]:
    """Return the tables of everything that was compared; what was not measured is blank."""
    return [_values(found), *_gains(found)]


def spread(metric: str, value: Spread | None) -> str:
    """Return mean and deviation: `82.1 ± 0.4 %`; of one seed the number alone."""
    if value is None:
        return ""
    if not is_share(metric):
        tail = "" if value.deviation is None else f" ± {written('', float(value.deviation))}"
        return f"{written('', float(value.mean))}{tail}"
    if value.deviation is None:
        return share(value.mean)
    return f"{100 * value.mean:.1f} ± {100 * value.deviation:.1f} %"


def gain(metric: str, value: Spread | None) -> str:
    """Return a gain with its sign and deviation, of shares in percentage points; red below 0."""
    if value is None:
        return ""
    if is_share(metric):
        tail = "" if value.deviation is None else f" ± {100 * value.deviation:.1f}"
        text = f"{points(value.mean)}{tail} points"
    else:
        tail = "" if value.deviation is None else f" ± {written('', float(value.deviation))}"
        text = f"{value.mean:+.4g}{tail}".replace("-", "\N{MINUS SIGN}")
    return Marked(text, Mark.WORSE) if value.mean < 0 else text


def _values(found: Comparison) -> Table:
    best = {measure: _best(measure, found) for measure in found.measures}
    rows = []
    for name, group in found.groups.items():
        row = [name, str(len(group.runs))]
        for measure in found.measures:
            text = spread(measure, found.values[name].get(measure))
            row.append(Marked(text, Mark.BEST) if name == best[measure] else text)
        rows.append(row)
    note = "Mean and standard deviation over the seeds."
    if any(len(group.runs) == 1 for group in found.groups.values()):
        note += " One seed has no deviation."
    return Table("Versions", ["version", "seeds", *found.measures], rows, note)


def _best(measure: str, found: Comparison) -> str:
    means = {name: found.values[name][measure].mean for name in found.groups if measure in found.values[name]}
    pick = min if lower_is_better(measure) else max
    return pick(means, key=lambda name: means[name]) if len(means) > 1 else ""


def _gains(found: Comparison) -> list[Table]:
    if not found.baselines:
        return []
    rows = []
    for name, other in found.baselines.items():
        row = [name, other]
        for measure in found.measures:
            value = found.gains[name].get(measure)
            row.append(gain(measure, value))
            row.append("" if value is None else _judged(value))
        rows.append(row)
    columns = [column for measure in found.measures for column in (measure, "of its deviation")]
    note = "Differences between runs of the same seed, their mean and deviation; better is positive."
    if any(value.mean < 0 for gains in found.gains.values() for value in gains.values()):
        note += " Red: worse than the baseline."
    return [Table("Gain over the baseline", ["version", "over", *columns], rows, note, 2)]


def _judged(value: Spread) -> str:
    if value.deviation is None:
        return "one seed"
    return "within" if value.within else "beyond"
