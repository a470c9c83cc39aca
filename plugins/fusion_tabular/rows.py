"""Change some cells of a row, each by draws of its own."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fusion_tabular.cells import missing, written
from fusion_tabular.columns import mapping


def hit(
    raw: Any,
    chance: float,
    rng: np.random.Generator,
    change: Callable[[Any, np.random.Generator], Any],
    *,
    spare: bool = False,
) -> dict[str, Any]:
    """Return the row with each cell that holds something changed with a probability; `spare` leaves one.

    What a cell draws does not depend on the probability. Raises DataError for what is no row.
    """
    row = dict(mapping(raw))
    held = [name for name, cell in row.items() if not missing(cell)]
    draws = dict(zip(held, rng.random(len(held)), strict=True))
    spared = max(draws, key=draws.__getitem__) if spare and held else None
    seeds = rng.integers(2**62, size=len(held))
    for name, seed in zip(held, seeds.tolist(), strict=True):
        if draws[name] < chance and name != spared:
            row[name] = change(row[name], np.random.default_rng(seed))
    return row


def measured(cell: Any) -> float | None:
    """Return the number that a cell holds; None for a word, a date, and yes or no."""
    if isinstance(cell, str) and written(cell) is not None:
        try:
            cell = float(cell)
        except ValueError:  # a date
            return None
    if not isinstance(cell, int | float | np.number) or isinstance(cell, bool) or not np.isfinite(cell):
        return None
    return float(cell)
