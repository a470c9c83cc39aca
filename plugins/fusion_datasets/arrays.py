"""Read the arrays of a .npz file as the columns of a table, without copying them."""

import math
import zipfile
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fusion import DataError
from fusion_datasets.words import unknown


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
            array: npt.NDArray[np.generic] = file[name]
        except ValueError as error:  # of Python objects, which numpy would unpickle
            raise DataError(f"array {name!r} of {self.path!r} cannot be read: {error}") from error
        if array.ndim == 0:
            raise DataError(f"array {name!r} of {self.path!r} is a single value; choose others with columns")
        return array


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
