"""How much of something, such as labelled rows, a version needs to be as good as the baseline."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from fusion.report.numbers import lower_is_better
from fusion.report.tables import Table
from fusion.studies.compare import Comparison, Spread
from fusion.studies.names import needed


class Need(NamedTuple):
    """An amount; `bound` is "≤" where the least that was tried is enough, ">" where the most is not."""

    bound: str
    amount: float

    def __str__(self) -> str:
        return f"{self.bound}{self.amount:,.0f}" if self.amount >= 10 else f"{self.bound}{self.amount:.3g}"


def lines(found: Comparison) -> dict[str, list[tuple[float, Spread]]]:
    """Return the deciding measure over the amounts, by the version's name without its amount."""
    curves: dict[str, list[tuple[float, Spread]]] = {}
    for name, group in found.compared.items():
        value = found.values[name].get(found.deciding)
        if group.version.amount is not None and value is not None:
            curves.setdefault(group.version.line, []).append((group.version.amount, value))
    return {line: sorted(curve, key=lambda place: place[0]) for line, curve in curves.items()}


def need(curve: Sequence[tuple[float, float]], goal: float) -> Need:
    """Return the least amount at which a curve reaches the goal, linear in log(amount) between two points."""
    first, value = curve[0]
    if value >= goal:
        return Need("≤", first)
    for (low, before), (high, after) in pairwise(curve):
        if after >= goal:
            part = (goal - before) / (after - before)
            return Need("", math.exp(math.log(low) + part * (math.log(high) - math.log(low))))
    return Need(">", curve[-1][0])


def needs(found: Comparison, path: str | None) -> dict[str, dict[float, Need]]:
    """Return by line and by amount of the baseline what the line needs to reach the baseline's mean there.

    Empty where the path is not of rows or steps, or the baseline has no such line.
    """
    curves = lines(found)
    if path is None or not needed(path) or any(curve[0][0] <= 0 for curve in curves.values()):
        return {}
    sign = -1 if lower_is_better(found.deciding) else 1
    versions = {name: group.version for name, group in found.compared.items()}
    over = {versions[name].line: versions[other].line for name, other in found.baselines.items()}
    return {
        line: {
            amount: need([(x, sign * spread.mean) for x, spread in curves[line]], sign * goal.mean)
            for amount, goal in curves[base]
        }
        for line, base in over.items()
        if line in curves and base in curves and line != base
    }


def table(found: Comparison, path: str | None) -> list[Table]:
    """Return what each line needs for what the baseline has at each amount."""
    told = needs(found, path)
    if not told:
        return []
    amounts = sorted({amount for line in told.values() for amount in line})
    rows = [
        [line, *(str(of[amount]) if amount in of else "" for amount in amounts)] for line, of in told.items()
    ]
    note = (
        f"How much of {path} a version needs for the mean of the baseline at that much, interpolated "
        "linearly in the logarithm. ≤: the least that was tried is enough; >: the most is not."
    )
    columns = ["version", *(f"baseline at {amount:,g}" for amount in amounts)]
    return [Table(f"Needed to be as good as the baseline: {path}", columns, rows, note)]
