"""Which version is picked by what needs no label of the target, and how good that one is by the labels."""

import re
from collections.abc import Mapping
from statistics import mean
from typing import Any, NamedTuple

from fusion.report.numbers import lower_is_better
from fusion.report.tables import Table
from fusion.studies import words
from fusion.studies.compare import Comparison

CRITERIA = {
    "validation": "the measure on the other sources, whose labels may be known",
    "entropy": "of the predictions, the lowest",
    "snd": "soft neighbourhood density (Saito et al. 2021), the highest",
}
SOURCE = re.compile(r"source/([^/]+)/(.+)")


class Picked(NamedTuple):
    """What a criterion picks at an amount, None where there is no axis, and what the labels would pick."""

    criterion: str
    amount: float | None
    version: str
    best: str


def picks(found: Comparison) -> list[Picked]:
    """Return what each criterion picks that was measured: as a key beside the deciding one, or on others."""
    told = []
    amounts = dict.fromkeys(group.version.amount for group in found.compared.values())
    less, measured = lower_is_better(found.deciding), found.paired(found.deciding)
    for criterion in CRITERIA:
        pick = min if criterion == "entropy" or (criterion == "validation" and less) else max
        for amount in amounts:
            means: dict[str, float] = {}
            for name, value in measured.items():
                group = found.compared[name]
                if group.version.amount == amount:
                    runs = [group.runs[seed] for seed in value.by_seed]
                    scores = [_score(criterion, found.deciding, run.metrics) for run in runs]
                    known = [score for score in scores if score is not None]
                    if len(known) == len(scores):
                        means[name] = mean(known)
            if len(means) > 1:
                chosen = pick(means, key=lambda name: means[name])
                best = min if less else max
                right = best(means, key=lambda name: measured[name].mean)
                told.append(Picked(criterion, amount, chosen, right))
    return told


def _score(criterion: str, deciding: str, metrics: Mapping[str, Any]) -> float | None:
    if criterion != "validation":
        return metrics.get(f"{deciding.rpartition('/')[0]}/{criterion}")
    target = SOURCE.fullmatch(deciding)
    if target is None:
        return None
    parts = [(SOURCE.fullmatch(key), value) for key, value in metrics.items()]
    others = [value for part, value in parts if part and part[2] == target[2] and part[1] != target[1]]
    return mean(others) if others else None


def table(found: Comparison) -> list[Table]:
    """Return what each criterion picks, and what is lost by it."""
    told = picks(found)
    measure = found.deciding
    rows = [
        [
            one.criterion,
            "" if one.amount is None else f"{one.amount:,g}",
            one.version,
            words.spread(measure, found.values[one.version][measure]),
            one.best,
            words.spread(measure, found.values[one.best][measure]),
        ]
        for one in told
    ]
    used = dict.fromkeys(one.criterion for one in told)
    note = "; ".join(f"{name}: {CRITERIA[name]}" for name in used)
    columns = ["criterion", "at", "picks", measure, "the labels would pick", measure]
    return [Table("Picked without labels of the target", columns, rows, f"{note}.", 3)] if told else []
