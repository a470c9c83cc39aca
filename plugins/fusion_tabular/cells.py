"""Read a cell of a table: a number, a word, or nothing; 38 and "38", however a file has it, are the same."""

import math
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from fusion import DataError

LARGEST = 1e15  # of a number in deviations: the square of it has to fit into fp32
NOTHING = {"", "na", "n/a", "nan", "nat", "none", "null"}
"""Words that stand for a missing number, in lower case, as files of pandas, R and databases have them."""
CODE = re.compile(r"[+-]?0\d")  # 007 is no number, but a name
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def number(name: str, cell: Any) -> float:
    """Return the number in a cell, NaN where there is none; days since 1970 of a date. Raises DataError."""
    found = written(cell)
    if found is None:
        raise DataError(f"column {name} is a number in the training, and here {cell!r:.100}")
    if math.isinf(found):
        raise DataError(f"column {name} is {found}")
    return found


def category(name: str, cell: Any) -> str | None:
    """Return the word in a cell, None where there is none; 1, 1.0 and "1" are one word. Raises DataError."""
    cell = _plain(cell)
    if missing(cell):
        return None
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if not isinstance(cell, str | int | float | Decimal | date | time | timedelta):
        raise DataError(f"column {name} is a category, a word or a number, and here {type(cell).__name__}")
    return str(cell)


def written(cell: Any) -> float | None:
    """Return the number that a cell holds, NaN for nothing; None for what is no number and no date.

    "38" is a number as 38 is, "2024-02-29" a date; "007" is a word.
    """
    match _plain(cell):
        case None:
            return math.nan
        case bool() | int() | float() | Decimal() as value:
            return _float(value)
        case datetime() as moment:
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return (moment - EPOCH) / timedelta(days=1)
        case date() as day:
            return float(day.toordinal() - EPOCH.toordinal())
        case timedelta() as span:
            return span / timedelta(days=1)
        case str() as text:
            return _of_text(text.strip())
        case _:
            return None


def missing(cell: Any) -> bool:
    """Whether a cell holds nothing: None, an empty text or NaN."""
    if isinstance(cell, float | np.floating | Decimal):
        return math.isnan(cell)
    return cell is None or (isinstance(cell, str) and not cell)


def _of_text(text: str) -> float | None:
    if text.lower() in NOTHING:
        return math.nan
    if CODE.match(text):
        return None
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return written(datetime.fromisoformat(text))
    except ValueError:
        return None


def _float(value: float | Decimal) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number of 400 digits
        return math.inf


def _plain(cell: Any) -> Any:
    return cell.item() if isinstance(cell, np.generic) else cell
