"""Read the arrays of a .npz file as the columns of a table, without copying them."""

import math
import zipfile
import zlib
from collections.abc import Sequence
from functools import cached_property
from tokenize import TokenError

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numpy.lib import format as _format

from fusion import DataError
from fusion_datasets.words import unknown

BOMB, GROWTH = 256 * 2**20, 200
"""Bytes of an array above which it may not be more than so many times as large as in the file."""


class Arrays:
    """Arrays of equal length of one file, in memory; pickled as its path, and read again elsewhere."""

    def __init__(self, path: str, names: Sequence[str] | None) -> None:
        self.path, self.names = path, names  # None: all of them

    def __reduce__(self) -> tuple[type["Arrays"], tuple[str, Sequence[str] | None]]:
        return Arrays, (self.path, self.names)

    @cached_property
    def table(self) -> pa.Table:
        """The arrays as columns; of those with more than one axis a cell is a nested list of fixed size."""
        try:
            file = np.load(self.path, allow_pickle=False)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{self.path!r} is not a .npz file that numpy reads: {error}") from error
        with file:
            arrays = {name: self._array(file, name) for name in self.names or file.files}
        lengths = {name: len(array) for name, array in arrays.items()}
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
            raise DataError(
                f"the arrays of {self.path!r} differ in length ({said}); choose some with columns"
            )
        return pa.table({name: column(array, name) for name, array in arrays.items()})

    def _array(self, file: "np.lib.npyio.NpzFile", name: str) -> npt.NDArray[np.generic]:
        if name not in file.files:
            raise DataError(unknown("array", name, file.files))
        try:
            _expect_honest(file.zip, name)
            array: npt.NDArray[np.generic] = file[name]
        except (  # ValueError: of Python objects, which numpy would unpickle
            *(ValueError, OSError, EOFError, RuntimeError, NotImplementedError, MemoryError, SyntaxError),
            *(zipfile.BadZipFile, zlib.error, TokenError),
        ) as error:
            raise DataError(f"array {name!r} of {self.path!r} cannot be read: {error}") from error
        if array.ndim == 0:
            raise DataError(f"array {name!r} of {self.path!r} is a single value; choose others with columns")
        return array


def _expect_honest(archive: zipfile.ZipFile, name: str) -> None:
    """Raise ValueError for an array that is not as large as it says, or grows out of almost nothing."""
    known = {entry.filename: entry for entry in archive.infolist()}
    entry = known.get(f"{name}.npy") or known[name]
    if entry.file_size > BOMB and entry.file_size > GROWTH * entry.compress_size:
        raise ValueError(f"{entry.compress_size:,} bytes would become {entry.file_size:,}")
    with archive.open(entry) as file:
        version = _format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(file)
        said = file.tell() + math.prod(shape) * dtype.itemsize
        if not dtype.hasobject and (said != entry.file_size or not dtype.itemsize):
            raise ValueError(f"{shape} of {dtype} does not fit {entry.file_size:,} bytes")


def column(array: npt.NDArray[np.generic], name: str) -> pa.Array:
    """Return an array as Arrow, rows being its first axis."""
    if array.dtype.kind not in "biufUS" or math.prod(array.shape[1:]) == 0:
        raise DataError(
            f"array {name!r} is of {array.dtype} with the shape {array.shape}; numbers and words are read"
        )
    native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    cells = pa.array(native.ravel())
    for size in reversed(array.shape[1:]):
        cells = pa.FixedSizeListArray.from_arrays(cells, size)
    return cells
