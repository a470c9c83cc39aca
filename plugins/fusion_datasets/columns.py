"""Read the option `columns`: which column is which part of a row, and how it is read."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fusion import DataError
from fusion_datasets.words import unknown


class Column(NamedTuple):
    """What the option says of one key of the rows."""

    column: str
    names: Sequence[str] | bool | None = None  # of ids, in their order; True: those that the data set has
    classes: Sequence[str] | None = None  # in the order of their ids
    rate: int | None = None  # Hz
    folder: str | None = None
    columns: Sequence[str] = ()  # several, in place of one

    @property
    def reads(self) -> Sequence[str]:
        return self.columns or (self.column,)


ALLOWED = {
    "names": "a list of different words, or true for the names that the data set has",
    "classes": "a list of different words",
    "rate": "a whole number of Hz",
    "folder": "a folder",
}


def parse(given: Mapping[str, Any]) -> dict[str, Column]:
    """Return what each key is read from. Raises DataError for what is malformed."""
    if not given:
        raise DataError("columns is empty; name at least one, or leave it out for all")
    return {key: _column(key, value) for key, value in given.items()}


def _column(key: str, given: Any) -> Column:
    if isinstance(given, str):
        return Column(given)
    if isinstance(given, Mapping) and given.keys() == {"columns"}:
        if not _are_words(given["columns"]):
            raise DataError(
                f"columns.{key}.columns is {given['columns']!r}; give a list of different columns"
            )
        return Column("", columns=given["columns"])
    if not isinstance(given, Mapping) or not isinstance(given.get("column"), str) or "columns" in given:
        raise DataError(
            f"columns.{key} is {given!r}; give a column, or a mapping with the key 'column' or 'columns'"
        )
    for name in given:
        if name not in ("column", *ALLOWED):
            raise DataError(f"columns.{key}: {unknown('key', name, ('column', *ALLOWED))}")
    column = Column(**given)
    fits = {
        "names": column.names is True or _are_words(column.names),
        "classes": _are_words(column.classes),
        "rate": type(column.rate) is int and column.rate > 0,
        "folder": isinstance(column.folder, str),
    }
    for name, good in fits.items():
        if given.get(name) is not None and not good:
            raise DataError(f"columns.{key}.{name} is {given[name]!r}; give {ALLOWED[name]}")
    named = column.names is not None or column.classes is not None
    if named + (column.rate is not None) + (column.folder is not None) > 1:
        raise DataError(f"columns.{key} has {', '.join(given)}; names and classes, rate, or folder are given")
    return column


def _are_words(value: Any) -> bool:
    if not isinstance(value, list | tuple) or not value:
        return False
    return all(isinstance(word, str) for word in value) and len(set(value)) == len(value)
