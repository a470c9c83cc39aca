"""Look at an Arrow table by column: nested ones by dotted names, and each cell as what Python has for it."""

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from fusion import DataError
from fusion_datasets.shards import SPAN


class Holds(Enum):
    """What the cells of a column hold."""

    WORDS = "words"
    NUMBERS = "numbers"
    ARRAYS = "lists of numbers"
    BYTES = "bytes"
    MEDIA = "media"  # {bytes, path}, as `datasets` keeps images and sounds
    SPANS = "files in shards"
    LISTS = "lists"  # of any of the above but arrays
    OTHER = "something else"


def by_name(table: pa.Table, renamed: Mapping[str, str]) -> dict[str, pa.ChunkedArray]:
    """Return the columns by name; the fields of nested ones as `column.field`.

    `renamed` holds the names of some, by what they are called instead.
    """
    names = {old: new for new, old in renamed.items()}
    fields = zip(table.column_names, table.columns, strict=True)
    return dict(_flat("", ((names.get(name, name), cells) for name, cells in fields)))


def _flat(above: str, fields: Iterable[tuple[str, pa.ChunkedArray]]) -> Iterator[tuple[str, pa.ChunkedArray]]:
    for name, cells in fields:
        if isinstance(cells.type, pa.ExtensionType):  # the arrays of `datasets`, such as Array2D
            storage = cells.type.storage_type
            cells = pa.chunked_array([chunk.storage for chunk in cells.chunks], storage)
        if types.is_struct(cells.type) and holds(cells.type) is Holds.OTHER:
            names = [field.name for field in cells.type]
            yield from _flat(f"{above}{name}.", zip(names, cells.flatten(), strict=True))
        else:
            yield above + name, cells


def holds(kind: pa.DataType) -> Holds:
    """Return what cells of this type hold."""
    if kind == SPAN:
        return Holds.SPANS
    if types.is_struct(kind) and {field.name for field in kind} == {"bytes", "path"}:
        return Holds.MEDIA
    if _is_list(kind):
        leaf = kind.value_type
        while _is_list(leaf):
            leaf = leaf.value_type
        inner = holds(leaf)
        if inner is Holds.NUMBERS:
            return Holds.ARRAYS
        return Holds.OTHER if inner is Holds.OTHER and not types.is_null(leaf) else Holds.LISTS
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        return Holds.NUMBERS
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return Holds.WORDS
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return Holds.BYTES
    return Holds.OTHER


def plain(cell: Any) -> Any:
    """Return a cell as Python has it: a number, str, bytes, dict, or a list of such. Raises DataError."""
    try:
        return cell.as_py()
    except (ValueError, OverflowError) as error:  # words that are not Unicode, a date after the year 9999
        raise DataError(f"the cell cannot be read: {error}") from error


def array(cell: Any) -> npt.NDArray[Any]:
    """Return a cell of nested lists of numbers as an array of its own. Raises DataError for ragged ones."""
    values = cell.values
    shape = [len(values)]
    while _is_list(values.type):
        if types.is_fixed_size_list(values.type):
            size = values.type.list_size
        else:
            sizes = pc.unique(pc.list_value_length(values)).to_pylist()
            if len(sizes) > 1 or None in sizes:
                raise DataError(f"the lists in the list differ in length ({sizes[:5]}); an array is expected")
            size = sizes[0] if sizes else 0
        if values.null_count:
            raise DataError("a list in the list is missing; an array is expected")
        shape.append(size)
        values = values.flatten()
    return np.array(values.to_numpy(zero_copy_only=False)).reshape(shape)  # a copy, which may be changed


def _is_list(kind: pa.DataType) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))
