"""What is known of a table's columns, the scale of numbers and words of categories; reads a row by it."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion import DataError, decode
from fusion_tabular.cells import LARGEST, category, missing, number, written

MISSING, UNKNOWN = -1, 0
"""Ids of a category that is not there, and of one that the training has not seen; others are from 1 on."""
MAX_COLUMNS, MAX_CATEGORIES, LISTED = 10_000, 1_000, 10
DIGITS = 6  # of a number that is written into a recipe


class Cells(NamedTuple):
    """A row as numbers: NaN and -1 where a cell is missing."""

    numbers: list[float]
    ids: list[int]


def read(raw: Any, numeric: Mapping[str, tuple[float, float]], categories: Mapping[str, list[str]]) -> Cells:
    """Return the cells of a row in the order of the columns, numbers at mean 0 and deviation 1.

    Raises DataError for what is no mapping, for a cell of the wrong kind, and where no cell is there.
    """
    row, numbers = mapping(raw), []
    for name, (mean, deviation) in numeric.items():
        value = (number(name, row.get(name)) - mean) / deviation
        if abs(value) > LARGEST:
            raise DataError(
                f"column {name} is {row[name]!r:.100}, {value:.0e} deviations from the mean of the training"
            )
        numbers.append(value)
    ids = []
    for name, known in categories.items():
        word = category(name, row.get(name))
        ids.append(MISSING if word is None else known.index(word) + 1 if word in known else UNKNOWN)
    if all(map(math.isnan, numbers)) and all(id == MISSING for id in ids):
        wanted, held = (", ".join(map(str, list(names)[:LISTED])) for names in ((*numeric, *categories), row))
        raise DataError(f"the row has a cell in none of {wanted}; its columns are {held or 'none'}")
    return Cells(numbers, ids)


def mapping(raw: Any) -> Mapping[Any, Any]:
    """Return a row of a table as it is. Raises DataError for what is none."""
    if not isinstance(raw, Mapping):
        raise DataError(f"a row of a table is a mapping from columns to cells, not {type(raw).__name__}")
    if len(raw) > MAX_COLUMNS:
        raise DataError(f"a row of {len(raw):,} columns; at most {MAX_COLUMNS:,} are read")
    return raw


class Columns(NamedTuple):
    numeric: dict[str, tuple[float, float]]  # mean and deviation
    categories: dict[str, list[str]]  # the most frequent first


def describe(rows: Iterable[Any], words: set[str] | None = None) -> Columns:
    """Return the columns of rows, as they first come: those that hold words, or that `words` names, are
    categories.

    A category that only one row has is left out, so that the training meets unknown ones, too. The deviation
    of a constant column is 1. Raises DataError for a column that is mostly numbers, and that cannot be read.
    """
    cells: dict[str, list[Any]] = {}
    for row in decode.readable(rows, mapping):
        for name, cell in row.items():
            if not missing(cell):
                cells.setdefault(str(name), []).append(cell)
    numeric, categories = {}, {}
    for name, found in cells.items():
        values = [written(cell) for cell in found]
        if name in (words or ()) or _are_words(name, found, values):
            counts = Counter(word for cell in found if (word := category(name, cell)) is not None)
            often = [word for word, count in counts.most_common(MAX_CATEGORIES) if count > 1]
            categories[name] = often or list(counts)[:1]
        else:
            known = np.array(values, float)
            known = known[~np.isnan(known)]
            if len(known):
                numeric[name] = _scale(name, known[np.isfinite(known)])
    return Columns(numeric, categories)


def _are_words(name: str, cells: Sequence[Any], values: Sequence[float | None]) -> bool:
    """Whether some cells are words, no numbers. Raises DataError where that may be a mistake."""
    others = [cell for cell, value in zip(cells, values, strict=True) if value is None]
    if strange := [type(cell).__name__ for cell in others if not isinstance(cell, str)]:
        raise DataError(
            f"column {name} holds {strange[0]}; numbers, dates and words are read, so leave it out of the row"
        )
    if others and 2 * len(others) < len(cells):
        raise DataError(
            f"column {name} holds numbers, and {others[0]!r:.100} or such in {len(others)} of {len(cells)}"
            " cells: empty these, or name the column in words if it is a category"
        )
    return bool(others)


def _scale(name: str, known: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean and the deviation of numbers."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = (float(known.mean()), float(known.std())) if len(known) else (math.inf, math.inf)
    if not math.isfinite(deviation):
        raise DataError(f"column {name} has no mean: its numbers are infinite, or too large")
    deviation = 1.0 if deviation <= 1e-9 * abs(mean) else deviation
    digits = DIGITS + max(0, math.ceil(math.log10(max(abs(mean) / deviation, 1))))  # a mean far from zero
    return float(f"{mean:.{digits}g}"), float(f"{deviation:.{DIGITS}g}")
