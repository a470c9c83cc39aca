"""Turn the cells of a column into what a row holds: text, ids of classes, sound, bytes, or paths."""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fusion import Choices, DataError, decode
from fusion_datasets import paths, shards
from fusion_datasets.columns import Column
from fusion_datasets.opening import Meaning
from fusion_datasets.place import expand
from fusion_datasets.table import Holds, array, holds, plain
from fusion_datasets.words import listed, unknown

FILES = ("image", "audio", "video")  # of these modalities a word is the name of a file
TEXT = "text"  # of this modality a number, a truth value or a date is the text that stands for it
TARGET = "label"  # of this key a word is the name of a class
LOOKED_AT = 100_000  # rows, for the examples in a message

Read = Callable[[Any], Any]
"""Turns a cell that is not null into a value, None for an absent one. Raises DataError."""


def reading(key: str, column: Column, cells: pa.ChunkedArray, meaning: Meaning) -> Read:
    """Return what reads a column as the option says. Raises DataError when that does not fit its type."""
    if pa.types.is_null(cells.type):  # all cells are empty, and none is read
        return _same
    what = holds(cells.type)
    said = f"columns.{key}: column {column.column!r} holds {what.value}"
    if column.rate is not None:
        if what is not Holds.ARRAYS:
            raise DataError(f"{said}; rate is for lists of numbers, the samples of a sound")
        return partial(_sound, column.rate)
    if column.names is not None or column.classes is not None:
        return _labels(said, column, cells.type, meaning.labels.get(column.column))
    one = _element(key, said, column, cells, meaning)
    if what is Holds.ARRAYS:
        return array
    return partial(_choices, one) if what is Holds.LISTS else lambda cell: one(plain(cell))


def _element(key: str, said: str, column: Column, cells: pa.ChunkedArray, meaning: Meaning) -> Read:
    """Return what reads a cell, or each of its list."""
    what = holds(cells.type)
    element = holds(cells.type.value_type) if what is Holds.LISTS else what
    if column.folder is not None and element is not Holds.WORDS:
        raise DataError(f"{said}; folder is for the names of files")
    match element:
        case Holds.WORDS if column.folder is not None or column.column in meaning.files or key in FILES:
            return partial(paths.relative, _folder(said, column.folder, meaning.folder))
        case Holds.WORDS if key == TARGET:
            words = listed(pc.unique(cells.slice(0, LOOKED_AT)).drop_null().to_pylist())
            raise DataError(
                f"{said} ({words}); give {key}: {{column: {column.column}, classes: [...]}} in columns, "
                "beside the other columns that are to be read"
            )
        case Holds.MEDIA:
            return partial(_media, meaning.folder, meaning.roots)
        case Holds.SPANS:
            return partial(_span, meaning.shards)
        case Holds.WORDS:
            return decode.Text
        case Holds.NUMBERS | Holds.OTHER if key == TEXT:
            return _text
        case Holds.NUMBERS:
            return partial(_number, named=column.column in meaning.labels)
        case _:
            return _same


def _same(value: Any) -> Any:
    return value


def _number(value: float, named: bool) -> float | None:
    """Return the number; NaN is an absent one, and so is the id -1 among named ones."""
    if value != value or (named and value == -1):
        return None
    # pandas makes floats of ids when one is missing; a target of floats reads whole numbers as well
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return decode.Text(str(value).lower())
    if isinstance(value, int | float | Decimal):
        number = _number(value, named=False)
        return None if number is None else decode.Text(number)
    return decode.Text(value) if isinstance(value, date | time) else value


def _choices(one: Read, cell: Any) -> Any:
    read = [one(value) for value in plain(cell) if value is not None]
    found = [value for value in read if value is not None]
    return None if not found else found[0] if len(found) == 1 else Choices(found)


def _sound(rate: int, cell: Any) -> tuple[npt.NDArray[Any], int]:
    return array(cell), rate


def _media(folder: str, roots: Sequence[str], cell: Mapping[str, Any]) -> bytes | Path | None:
    """Return the bytes of an image or a sound, or else where it is."""
    content = cell["bytes"]
    if content is not None and not isinstance(content, bytes | bytearray):
        raise DataError(f"the bytes of a file expected, found {type(content).__name__} {content[:50]!r}")
    if content is not None:
        return bytes(content)
    return None if cell["path"] is None else paths.inside(roots, os.path.join(folder, cell["path"]))


def _span(tars: Sequence[str], span: Mapping[str, int]) -> bytes:
    return shards.read(tars[span["shard"]], span["offset"], span["size"])


def _folder(said: str, given: str | None, own: str) -> str:
    """Return the real path of the folder in which the names of files start."""
    if given is None and not own:
        raise DataError(f"{said}, taken for the names of files; give folder: where they are")
    path = os.path.realpath(os.path.join(own, expand(given or ".")))
    if not os.path.isdir(path):
        raise DataError(f"{said}; there is no folder {path!r}")
    return path


def _labels(said: str, column: Column, kind: pa.DataType, own: Sequence[str] | None) -> Read:
    """Return what reads ids as words, words as ids of the classes, or ids as those of the classes."""
    several = holds(kind) in (Holds.LISTS, Holds.ARRAYS)
    element = holds(kind.value_type) if several else holds(kind)
    names = own if column.names is None or column.names is True else column.names
    if element not in (Holds.WORDS, Holds.NUMBERS):
        raise DataError(f"{said}; names and classes are for ids and for words")
    if element is Holds.WORDS:
        if column.names is not None:
            raise DataError(f"{said}; names are for ids, so leave them out")
        names = None
    elif not names:
        raise DataError(f"{said} without names of their own; give names: [the words in the order of the ids]")
    ids = None if column.classes is None else {word: place for place, word in enumerate(column.classes)}
    one = partial(_label, names, ids)
    if several and ids is not None:
        return partial(_many_hot, one, len(ids))
    return partial(_choices, one) if several else lambda cell: one(plain(cell))


def _label(names: Sequence[str] | None, ids: Mapping[str, int] | None, value: Any) -> str | int | None:
    if names is not None:
        if value != value or value == -1:
            return None
        if not (0 <= value < len(names) and value == int(value)):
            raise DataError(f"the id {value!r} has no name; there are names for 0 to {len(names) - 1}")
        value = names[int(value)]
    if ids is None:
        return decode.Text(value)
    if value not in ids:
        raise DataError(unknown("class", value, ids))
    return ids[value]


def _many_hot(one: Read, classes: int, cell: Any) -> npt.NDArray[np.float32]:
    """Return 1 for each of the classes in a list, and 0 for the others."""
    hot = np.zeros(classes, np.float32)
    for value in plain(cell):
        place = None if value is None else one(value)
        if place is not None:
            hot[place] = 1
    return hot
