"""Arrays in .npy files: written row after row, in parts, and read as if the parts were one."""

import io
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fusion.data.order import Ints

Array = npt.NDArray[Any]


class Growing:
    """A file to which rows are added; numpy leaves space in its header for any number of them."""

    def __init__(self, path: Path, dtype: npt.DTypeLike, shape: Sequence[int] = ()) -> None:
        self.path, self.dtype, self.shape, self.rows = path, np.dtype(dtype), tuple(shape), 0
        self.path.write_bytes(self._header())

    @property
    def nbytes(self) -> int:
        return self.rows * math.prod(self.shape) * self.dtype.itemsize

    def append(self, values: Array) -> None:
        """Add rows, (n, *shape)."""
        assert values.shape[1:] == self.shape
        with self.path.open("ab") as file:
            file.write(np.ascontiguousarray(values, self.dtype).data)
        self.rows += len(values)

    def close(self) -> None:
        """Say in the header how many rows there are."""
        with self.path.open("r+b") as file:
            file.write(self._header())

    def _header(self) -> bytes:
        header = io.BytesIO()
        shape = (self.rows, *self.shape)
        about = {"descr": self.dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(header, about)
        return header.getvalue()


class Joined:
    """Files of one array, one after the other; mapped into memory when they are first read."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)

    def __getstate__(self) -> dict[str, Any]:  # a mapped array would be pickled whole
        return {"paths": self.paths}

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def shape(self) -> tuple[int, ...]:
        """That of a row."""
        return tuple(self._parts[0].shape[1:])

    def whole(self) -> Array:
        """Return all of it, in memory."""
        return np.concatenate(self._parts)

    def take(self, places: Ints) -> Array:
        """Return the rows at these places, in their order; they are read in the order of the file."""
        order = np.argsort(places, kind="stable")
        wanted = places[order]
        bounds = np.searchsorted(wanted, self._starts)
        found = np.empty((len(places), *self.shape), self._parts[0].dtype)
        for part, start, first, last in zip(
            self._parts, self._starts[:-1], bounds[:-1], bounds[1:], strict=True
        ):
            if first < last:
                found[order[first:last]] = part[wanted[first:last] - start]
        return found

    def between(self, start: int, stop: int) -> Array:
        """Return the rows from `start` to `stop`, which one part holds."""
        part = int(np.searchsorted(self._starts, start, "right")) - 1
        begin = int(self._starts[part])
        return self._parts[part][start - begin : stop - begin]

    @cached_property
    def _parts(self) -> list[Array]:
        return [np.load(path, mmap_mode="r", allow_pickle=False) for path in self.paths]

    @cached_property
    def _starts(self) -> Ints:
        return np.cumsum([0, *map(len, self._parts)], dtype=np.int64)
