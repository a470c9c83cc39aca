"""Read rows of a table by their number."""

from collections.abc import Mapping
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
    return list(dict.fromkeys([*(column.column for column in chosen.values()), *where]))


class RowReader:
    """Reads rows out of columns, each column in its way. Raises DataError for a column that is not there."""

    def __init__(
        self, cells: Mapping[str, pa.ChunkedArray], chosen: Mapping[str, Column], meaning: Meaning
    ) -> None:
        for key, column in chosen.items():
            if column.column not in cells:
                raise DataError(f"columns.{key}: {unknown('column', column.column, cells)}")
        self._columns = [
            (key, cells[column.column], reading(key, column, cells[column.column], meaning))
            for key, column in chosen.items()
        ]

    def __call__(self, place: int) -> dict[str, Any]:
        """Return a row without what is absent. Raises DataError that names the key."""
        row = {}
        for key, cells, read in self._columns:
            cell = cells[place]
            if cell.is_valid:
                try:
                    value = read(cell)
                except DataError as error:
                    raise DataError(f"{key}: {error}") from error
                if value is not None:
                    row[key] = value
        return row


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
