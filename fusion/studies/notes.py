"""Say in sentences what has to be known to read a comparison: budgets, seeds, negative transfer."""

from fusion.report.tables import Mark, Marked
from fusion.studies import words
from fusion.studies.compare import Comparison
from fusion.studies.tables import origins


def notes(found: Comparison) -> list[str]:
    """Return what would mislead if it was not said."""
    return [*_rows(found), *_budget(found), *_origins(found), *_seeds(found), *_losses(found)]


def _rows(found: Comparison) -> list[str]:
    measured = {
        repr((one.recipe.evaluate.sources, one.recipe.evaluate.limit)) for one in found.compared.values()
    }
    if len(measured) < 2:
        return []
    return [Marked("Not measured on the same rows: evaluate.sources or evaluate.limit differ.", Mark.WORSE)]


def _budget(found: Comparison) -> list[str]:
    given: dict[tuple[int, int], list[str]] = {}
    for name, group in found.compared.items():
        given.setdefault((group.recipe.train.steps, group.recipe.train.rows), []).append(name)
    told = {key: f"{key[0]:,} steps of {key[1]:,} rows" for key in given}
    if len(given) == 1:
        return [f"Equal budget: {next(iter(told.values()))} for every version."]
    parts = "; ".join(f"{told[key]} for {', '.join(names)}" for key, names in given.items())
    return [f"Not an equal budget: {parts}."]


def _origins(found: Comparison) -> list[str]:
    starts = {name for group in found.compared.values() for name in origins(group)}
    known = {name: found.groups[name].recipe.train for name in starts if name in found.groups}
    steps = ", ".join(f"{name} {train.steps:,} steps" for name, train in sorted(known.items()))
    return [f"Not counted in it: the training of what others take from ({steps})."] if known else []


def _seeds(found: Comparison) -> list[str]:
    counts = {len(group.runs) for group in found.compared.values()}
    if counts == {1}:
        return ["One seed each: no deviation is known, so no difference is told from chance."]
    unequal = [
        f"{name} has no run of the seeds of {other}"
        for name, other in found.baselines.items()
        if not found.groups[name].runs.keys() & found.groups[other].runs.keys()
    ]
    told = [f"No gain can be told: {'; '.join(unequal)}."] if unequal else []
    by_seeds: dict[tuple[int, ...], list[str]] = {}
    for name, group in found.compared.items():
        by_seeds.setdefault(tuple(sorted(group.runs)), []).append(name)
    if len(by_seeds) > 1:
        parts = "; ".join(
            f"{', '.join(map(str, of))} of {', '.join(names)}" for of, names in by_seeds.items()
        )
        text = f"Not the same seeds: {parts}. Means are over all of a version, gains over those of both."
        told.append(Marked(text, Mark.WORSE))
    return told


def _losses(found: Comparison) -> list[str]:
    told: list[str] = []
    for name, other in found.baselines.items():
        value = found.gains[name].get(found.deciding)
        if value is not None and value.mean < 0:
            what = "Negative transfer" if found.groups[name].recipe.earlier else "Worse than the baseline"
            loss = words.gain(found.deciding, value)
            text = f"{what}: {name} over {other}, {loss}, {words.certainty(value)}."
            told.append(Marked(text, Mark.WORSE))
    return told
