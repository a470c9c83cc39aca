"""Rows with what a teacher gave for them, read from files and written to them."""

import math
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fusion.batch import Row, Source
from fusion.data.order import Ints

Array = npt.NDArray[np.float32]


class Taught:
    """A source whose rows also hold what the teacher gave for them, as far as it gave anything.

    `rows` are those that the files are about, sorted.
    """

    def __init__(self, source: Source, rows: Ints, files: Mapping[str, Path]) -> None:
        self.source, self.rows, self.files = source, rows, dict(files)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Row:
        row = self.source[index]
        place = int(np.searchsorted(self.rows, index))
        if place == len(self.rows) or self.rows[place] != index:
            return row
        given = {key: array[place] for key, array in self._arrays.items()}
        return {**row, **{key: value for key, value in given.items() if not np.isnan(value).any()}}

    def __reduce__(self) -> tuple[Any, ...]:  # a mapped array would be pickled whole
        return Taught, (self.source, self.rows, self.files)

    @cached_property
    def _arrays(self) -> dict[str, Array]:
        return {key: _map(path) for key, path in self.files.items()}


def lay_out(path: Path, shape: tuple[int, ...]) -> None:
    """Make a file of an array in which nothing is known yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.lib.format.open_memmap(path, "w+", np.float32, shape)[:] = np.nan


def _map(path: Path) -> np.memmap[Any, Any]:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    assert isinstance(array, np.memmap)
    return array


def write(path: Path, places: Ints, values: Array) -> None:
    """Write into some places of a file: a mapped page would carry along what other ranks write there."""
    array = _map(path)
    with path.open("r+b", buffering=0) as file:
        for place, value in zip(places.tolist(), values, strict=True):
            os.pwrite(file.fileno(), value.tobytes(), array.offset + place * array.strides[0])


def held(path: Path) -> int:
    """Return how many rows of a file hold anything."""
    array = _map(path)
    first = array.reshape(len(array), math.prod(array.shape[1:]))[:, 0]
    return int((~np.isnan(first)).sum())
