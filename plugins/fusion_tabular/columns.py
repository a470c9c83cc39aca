"""What is known of a table's columns, the scale of numbers and words of categories; reads a row by it."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from fusion import DataError

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
    if not isinstance(raw, Mapping):
        raise DataError(f"a row of a table is a mapping from columns to cells, not {type(raw).__name__}")
    if len(raw) > MAX_COLUMNS:
        raise DataError(f"a row of {len(raw):,} columns; at most {MAX_COLUMNS:,} are read")
    numbers = [
        (number(name, raw.get(name)) - mean) / deviation for name, (mean, deviation) in numeric.items()
    ]
    ids = []
    for name, known in categories.items():
        word = category(name, raw.get(name))
        ids.append(MISSING if word is None else known.index(word) + 1 if word in known else UNKNOWN)
    if all(map(math.isnan, numbers)) and all(id == MISSING for id in ids):
        wanted, held = (", ".join(map(str, list(names)[:LISTED])) for names in ((*numeric, *categories), raw))
        raise DataError(f"the row has a cell in none of {wanted}; its columns are {held or 'none'}")
    return Cells(numbers, ids)


def number(name: str, cell: Any) -> float:
    """Return the number in a cell, NaN where there is none. Raises DataError."""
    if _empty(cell):
        return math.nan
    if not isinstance(cell, bool | int | float | np.number | np.bool_):
        raise DataError(f"column {name} is a number in the training, and here {cell!r:.100}")
    if not math.isfinite(cell):
        raise DataError(f"column {name} is {cell}")
    return float(cell)


def category(name: str, cell: Any) -> str | None:
    """Return the word in a cell, None where there is none; 1, 1.0 and "1" are one word. Raises DataError."""
    if _empty(cell):
        return None
    if not isinstance(cell, str | bool | int | float | np.number | np.bool_):
        raise DataError(f"column {name} is a category, a word or a number, and here {type(cell).__name__}")
    whole = isinstance(cell, float | np.floating) and float(cell).is_integer()
    return str(int(cell) if whole else cell)


def _empty(cell: Any) -> bool:
    return cell is None or cell == "" or (isinstance(cell, float | np.floating) and math.isnan(cell))


class Columns(NamedTuple):
    numeric: dict[str, tuple[float, float]]  # mean and deviation
    categories: dict[str, list[str]]  # the most frequent first


def describe(rows: Iterable[Any], words: set[str] | None = None) -> Columns:
    """Return the columns of rows, as they first come: those that hold words, or that `words` names, are
    categories.

    A category that only one row has is left out, so that the training meets unknown ones, too. The deviation
    of a constant column is 1.
    """
    cells: dict[str, list[Any]] = {}
    for row in rows:
        if isinstance(row, Mapping) and len(row) <= MAX_COLUMNS:
            for name, cell in row.items():
                if not _empty(cell):
                    cells.setdefault(str(name), []).append(cell)
    numeric, categories = {}, {}
    for name, found in cells.items():
        if name in (words or ()) or any(isinstance(cell, str) for cell in found):
            counts = Counter(word for cell in found if (word := _or_none(category, name, cell)) is not None)
            often = [word for word, count in counts.most_common(MAX_CATEGORIES) if count > 1]
            categories[name] = often or list(counts)[:1]
        else:
            known = np.array([value for cell in found if (value := _or_none(number, name, cell)) is not None])
            if len(known):
                deviation = known.std()
                scale = 1.0 if deviation <= 1e-9 * abs(known.mean()) else deviation
                numeric[name] = (_rounded(known.mean()), _rounded(scale))
    return Columns(numeric, categories)


def _or_none(read_cell: Any, name: str, cell: Any) -> Any:
    try:
        return read_cell(name, cell)
    except DataError:  # the training counts the row
        return None


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
