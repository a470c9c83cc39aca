"""Choose rows by what stands in their columns, without reading any other column, or copying a row."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fusion import DataError
from fusion_datasets.table import Holds, holds
from fusion_datasets.words import listed, unknown

SLICE = re.compile(r"(?P<name>[^\[\]]+)(\[(?P<start>-?\d+%?)?:(?P<stop>-?\d+%?)?\])?")


class Split(NamedTuple):
    """A split, or a part of one: `train`, `train[:80%]`, `train[-500:]`."""

    name: str
    start: str | None
    stop: str | None

    def bounds(self, rows: int) -> tuple[int, int]:
        """Return the first row and the one after the last. Percentages are rounded to whole rows."""
        places = [None if bound is None else _row(bound, rows) for bound in (self.start, self.stop)]
        start, stop, _ = slice(*places).indices(rows)
        return start, max(start, stop)


def read_split(given: str) -> Split:
    """Read what the option `split` says. Raises DataError."""
    found = SLICE.fullmatch(given)
    if not found:
        raise DataError(f"split is {given!r}; write a name, or a part such as train[:80%] or train[-500:]")
    return Split(found["name"], found["start"], found["stop"])


def _row(bound: str, rows: int) -> int:
    return round(rows * int(bound[:-1]) / 100) if bound.endswith("%") else int(bound)


Where = Mapping[str, Any]
"""What the rows have in columns: a value, a list of values, or {"not": of either}."""


def choose(
    columns: Mapping[str, pa.ChunkedArray],
    labels: Mapping[str, Sequence[str]],
    split: Split,
    where: Where,
    limit: int | None,
) -> range | npt.NDArray[np.int64]:
    """Return the numbers of the rows that are kept, in order. Raises DataError when there is none."""
    size = len(next(iter(columns.values()), ()))
    if not size:
        raise DataError("there is no row")
    start, stop = split.bounds(size)
    kept = mask(columns, labels, where)
    rows = range(start, stop) if kept is None else np.flatnonzero(kept[start:stop]) + start
    if not len(rows):
        held = [f"{name} holds {_examples(columns[name])}" for name in where]
        raise DataError("; ".join([f"none of {size:,} rows is left by split and where", *held]))
    return rows[:limit]


def mask(
    columns: Mapping[str, pa.ChunkedArray], labels: Mapping[str, Sequence[str]], where: Where
) -> npt.NDArray[np.bool_] | None:
    """Return which rows meet every condition, None for all. Raises DataError for one that does not fit."""
    masks = []
    for name, condition in where.items():
        if name not in columns:
            raise DataError(f"where: {unknown('column', name, columns)}")
        negated = isinstance(condition, Mapping)
        if negated and condition.keys() != {"not"}:
            raise DataError(
                f"where.{name} is {dict(condition)!r}; give a value, a list of values, or {{not: of either}}"
            )
        wanted = condition["not"] if negated else condition
        several = wanted if isinstance(wanted, list | tuple) else [wanted]
        values = _values(name, several, columns[name].type, labels)
        found = pc.is_in(columns[name], value_set=values).to_numpy().astype(bool)
        masks.append(~found if negated else found)
    return np.logical_and.reduce(masks) if masks else None


def _values(
    name: str, wanted: Sequence[Any], kind: pa.DataType, labels: Mapping[str, Sequence[str]]
) -> pa.Array:
    if holds(kind) not in (Holds.WORDS, Holds.NUMBERS, Holds.OTHER):
        raise DataError(f"where.{name}: the column holds {holds(kind).value}, which are not compared")
    if pa.types.is_null(kind):  # as a column without values begins in a stream
        return pa.nulls(int(None in wanted))
    values = []
    for value in wanted:
        if name in labels and isinstance(value, str):
            if value not in labels[name]:
                raise DataError(f"where.{name}: {unknown('class', value, labels[name])}")
            value = labels[name].index(value)
        try:
            values.append(pa.scalar(value).cast(kind))
        except pa.ArrowException as error:
            raise DataError(f"where.{name}: {value!r} is nothing that a column of {kind} holds") from error
    return pa.array([value.as_py() for value in values], kind)


def _examples(cells: pa.ChunkedArray) -> str:
    return listed(pc.unique(cells.slice(0, 100_000)).to_pylist())
