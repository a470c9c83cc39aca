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
    note = (
        "Mean ± standard deviation over the seeds (n − 1); one seed has none. "  # noqa: RUF001
        "Bold: the best mean over the seeds that all have."
    )
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
                name if group.version.compared else f"{name} (others take from it)",
                ", ".join(origins(group)),
                count(settings.steps),
                count(settings.rows),
                count(settings.steps * settings.rows),
                seconds(time.mean) if time.by_seed else "",
            ]
        )
    columns = ["version", "takes from", "steps", "batch", "rows seen", "time of a run"]
    return Table("What each was given", columns, rows, "", 2)


def origins(group: Group) -> list[str]:
    """Return the names of the earlier runs or files that a version takes from, without the seed."""
    return [Path(path).name.removesuffix(f"-{group.recipe.train.seed}") for path in group.recipe.earlier]


def _best(measure: str, found: Comparison) -> str:
    means = {name: value.mean for name, value in found.paired(measure).items()}
    pick = min if lower_is_better(measure) else max
    return pick(means, key=lambda name: means[name]) if len(means) > 1 else ""
