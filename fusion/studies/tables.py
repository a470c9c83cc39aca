"""Lay a comparison out in tables: what was measured, the gains, and what the versions were given."""

from pathlib import Path

from fusion.report.numbers import count, lower_is_better, seconds
from fusion.report.tables import Mark, Marked, Table
from fusion.studies import words
from fusion.studies.compare import Comparison, Group, spread


def values(found: Comparison) -> Table:
    """Return mean and deviation of every measure; what was not measured is blank."""
    best = {measure: _best(measure, found) for measure in found.measures}
    rows = []
    for name, group in found.compared.items():
        row = [name, str(len(group.runs))]
        for measure in found.measures:
            text = words.spread(measure, found.values[name].get(measure))
            row.append(Marked(text, Mark.BEST) if name == best[measure] else text)
        rows.append(row)
    note = "Mean ± standard deviation over the seeds (n − 1); one seed has none. Bold: the best mean."  # noqa: RUF001
    return Table("Versions", ["version", "seeds", *found.measures], rows, note)


def gains(found: Comparison) -> list[Table]:
    """Return the gain of every measure over the baseline, none without a baseline."""
    if not found.baselines:
        return []
    rows = []
    for name, other in found.baselines.items():
        row = [name, other]
        for measure in found.measures:
            value = found.gains[name].get(measure)
            row += [words.gain(measure, value), words.certainty(value)]
        rows.append(row)
    columns = [column for measure in found.measures for column in (f"gain of {measure}", "the gain is")]
    note = "Differences between runs of the same seed, mean ± deviation. More is better, also of errors."
    if any(gain.mean < 0 for of in found.gains.values() for gain in of.values()):
        note += " Red: worse than the baseline, which is negative transfer where an earlier model was given."
    return [Table("Gain over the baseline", ["version", "over", *columns], rows, note, 2)]


def budget(found: Comparison) -> Table:
    """Return what every version was given."""
    rows = []
    for name, group in found.groups.items():
        settings, metrics = group.recipe.train, {seed: run.metrics for seed, run in group.runs.items()}
        time = spread(metrics, "train/seconds")
        rows.append(
            [
                name if group.version.compared else f"{name} (others start from it)",
                origin(group),
                count(settings.steps),
                count(settings.batch),
                count(settings.steps * settings.batch),
                seconds(time.mean) if time.by_seed else "",
            ]
        )
    columns = ["version", "starts from", "steps", "batch", "rows seen", "time of a run"]
    return Table("What each was given", columns, rows, "", 2)


def origin(group: Group) -> str:
    """Return the name of the earlier run or file that a version starts from, without the seed."""
    start = group.recipe.init
    return "" if start is None else Path(start).name.removesuffix(f"-{group.recipe.train.seed}")


def _best(measure: str, found: Comparison) -> str:
    means = {
        name: found.values[name][measure].mean for name in found.compared if measure in found.values[name]
    }
    pick = min if lower_is_better(measure) else max
    return pick(means, key=lambda name: means[name]) if len(means) > 1 else ""
