"""Vectors of one modality of a source, in a file that is named by what it holds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from fusion import tensors
from fusion.errors import RunError
from fusion.files import fsync
from fusion.search.record import file_of

LONGEST = 1.001
"""Of a vector of unit length, and of the rounding in it."""


class Part(NamedTuple):
    """Vectors of unit length, the rows that they are of, in order, and what those rows are labelled with."""

    vectors: Tensor  # (n, w) fp32
    rows: Tensor  # (n,) long
    targets: Tensor  # (n, ...)


def together(parts: Sequence[tuple[Part, Tensor]]) -> Part:
    """Return those vectors of parts that are taken, (n,) bool each, in the order of rows.

    They are copied once; a part that is alone and whole is not copied. Raises RunError where two are of one
    row.
    """
    some = [(part, taken) for part, taken in parts if taken.any()]
    if len(some) == 1 and some[0][1].all():
        return some[0][0]
    rows, order = torch.cat([part.rows[taken] for part, taken in parts]).sort()
    if not bool((rows.diff() > 0).all()):
        raise RunError("an index has two vectors of one row; delete it, and `fusion index` the source again")
    first = parts[0][0]
    vectors = first.vectors.new_empty(len(rows), first.vectors.shape[1])
    places, start = order.argsort(), 0
    for part, taken in parts:
        own = part.vectors if taken.all() else part.vectors[taken]
        vectors[places[start : start + len(own)]] = own
        start += len(own)
    return Part(vectors, rows, torch.cat([part.targets[taken] for part, taken in parts])[order])


def write(folder: Path, held: Mapping[str, Tensor]) -> str:
    """Write tensors into a folder, whole or not at all, and return their SHA-256, which names the file."""
    stage = folder / ".part.partial"
    digest = tensors.write(stage, held)
    fsync(stage)
    stage.replace(folder / file_of(digest))
    fsync(folder)
    return digest


def read(path: Path, width: int) -> Part:
    """Return the part in a file; its numbers are read as they are used. Raises RunError for another file."""
    held = tensors.load_tensors(path)
    if held.keys() != {"vectors", "rows", "targets"}:
        raise RunError(f"{path} holds {', '.join(sorted(held))}, and not the vectors of an index")
    part = Part(held["vectors"], held["rows"], held["targets"])
    count = len(part.rows)
    if (part.vectors.dtype, part.rows.dtype) != (torch.float32, torch.long):
        raise RunError(f"{path} has vectors of {part.vectors.dtype} and rows of {part.rows.dtype}")
    if (part.vectors.shape, part.rows.shape, len(part.targets)) != ((count, width), (count,), count):
        raise RunError(f"{path} has vectors {tuple(part.vectors.shape)} for {count} rows of width {width}")
    if not count or int(part.rows[0]) < 0 or not bool((part.rows.diff() > 0).all()):
        raise RunError(f"{path} has no rows, or rows out of their order")
    return part


def expect_unit(vectors: Tensor, place: str) -> Tensor:
    """Return vectors (n, w). Raises RunError where one is longer than 1, or no number."""
    if not bool((torch.linalg.vector_norm(vectors, dim=1) <= LONGEST).all()):
        raise RunError(f"{place} has vectors that are not of unit length")
    return vectors
