"""Which version is picked by what needs no label of the target, and how good that one is by the labels."""

from typing import NamedTuple

from fusion.report.numbers import lower_is_better
from fusion.report.tables import Table
from fusion.studies import words
from fusion.studies.compare import Comparison, spread

CRITERIA = {
    "entropy": ("lowest", "of the predictions"),
    "snd": ("highest", "soft neighbourhood density (Saito et al. 2021)"),
}


class Picked(NamedTuple):
    """What a criterion picks at an amount, None where there is no axis, and what the labels would pick."""

    criterion: str
    amount: float | None
    version: str
    best: str


def picks(found: Comparison) -> list[Picked]:
    """Return what each criterion picks that was measured, as a key beside the deciding one."""
    told = []
    amounts = dict.fromkeys(group.version.amount for group in found.compared.values())
    for criterion, (wanted, _) in CRITERIA.items():
        key = f"{found.deciding.rpartition('/')[0]}/{criterion}"
        for amount in amounts:
            names = [name for name, group in found.compared.items() if group.version.amount == amount]
            scores = {
                name: spread({seed: run.metrics for seed, run in found.groups[name].runs.items()}, key)
                for name in names
                if found.deciding in found.values[name]
            }
            means = {name: score.mean for name, score in scores.items() if score.by_seed}
            if len(means) > 1:
                pick = min if wanted == "lowest" else max
                best = min if lower_is_better(found.deciding) else max
                chosen = pick(means, key=lambda name: means[name])
                right = best(means, key=lambda name: found.values[name][found.deciding].mean)
                told.append(Picked(criterion, amount, chosen, right))
    return told


def table(found: Comparison) -> list[Table]:
    """Return what each criterion picks, and what is lost by it."""
    told = picks(found)
    measure = found.deciding
    rows = [
        [
            f"{CRITERIA[one.criterion][0]} {one.criterion}",
            "" if one.amount is None else f"{one.amount:,g}",
            one.version,
            words.spread(measure, found.values[one.version][measure]),
            one.best,
            words.spread(measure, found.values[one.best][measure]),
        ]
        for one in told
    ]
    used = dict.fromkeys(one.criterion for one in told)
    note = "; ".join(f"{name}: {CRITERIA[name][1]}" for name in used)
    columns = ["criterion", "at", "picks", measure, "the labels would pick", measure]
    return [Table("Picked without labels of the target", columns, rows, f"{note}.", 3)] if told else []
