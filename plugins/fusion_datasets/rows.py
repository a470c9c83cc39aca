"""Read rows of a table by their number."""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from fusion import DataError
from fusion_datasets.columns import Column
from fusion_datasets.opening import Meaning, Opened
from fusion_datasets.readings import reading
from fusion_datasets.selection import Split, Where, choose
from fusion_datasets.table import by_name
from fusion_datasets.words import unknown


def needed(chosen: Mapping[str, Column], where: Where) -> list[str]:
    """Return the columns that are read at all."""
    return list(dict.fromkeys([*(name for column in chosen.values() for name in column.reads), *where]))


class RowReader:
    """Reads rows out of columns, each column in its way. Raises DataError for a column that is not there."""

    def __init__(
        self, cells: Mapping[str, pa.ChunkedArray], chosen: Mapping[str, Column], meaning: Meaning
    ) -> None:
        for key, column in chosen.items():
            for name in column.reads:
                if name not in cells:
                    raise DataError(f"columns.{key}: {unknown('column', name, cells)}")
        self._values = {key: _value(key, column, cells, meaning) for key, column in chosen.items()}

    def __call__(self, place: int) -> dict[str, Any]:
        """Return a row without what is absent. Raises DataError that names the key."""
        row = {}
        for key, value in self._values.items():
            try:
                found = value(place)
            except DataError as error:
                raise DataError(f"{key}: {error}") from error
            if found is not None:
                row[key] = found
        return row


def _value(
    key: str, column: Column, cells: Mapping[str, pa.ChunkedArray], meaning: Meaning
) -> Callable[[int], Any]:
    """Return what gives the value of a row, None where it is absent; of several columns a mapping."""
    if column.columns:
        parts = {name: _value(f"{key}.{name}", Column(name), cells, meaning) for name in column.columns}

        def together(place: int) -> dict[str, Any] | None:
            found = {name: part(place) for name, part in parts.items()}
            return {name: one for name, one in found.items() if one is not None} or None

        return together
    there, read = cells[column.column], reading(key, column, cells[column.column], meaning)

    def alone(place: int) -> Any:
        cell = there[place]
        return read(cell) if cell.is_valid else None

    return alone


class Rows:
    """Rows of a table with random access: a `fusion.Source`.

    Pickled as the place where the table lies, and what is read of it.
    """

    def __init__(
        self,
        opened: Opened,
        chosen: Mapping[str, Column] | None,
        split: Split,
        where: Where,
        limit: int | None,
    ) -> None:
        self._given = opened, chosen, split, where, limit
        cells = by_name(opened.held.table, opened.meaning.files)
        self._read = RowReader(
            cells, {name: Column(name) for name in cells} if chosen is None else chosen, opened.meaning
        )
        self._rows = choose(cells, opened.meaning.labels, split, where, limit)

    def __reduce__(self) -> tuple[type["Rows"], tuple[Any, ...]]:
        return Rows, self._given

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self._rows):
            raise IndexError(f"datasets: row {index} of {len(self._rows)}")
        return self._read(int(self._rows[index]))
