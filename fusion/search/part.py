"""The vectors of one modality of a source, in a file that is named by what it holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from fusion import tensors
from fusion.errors import RunError
from fusion.files import fsync

LONGEST = 1.001
"""Of a vector of unit length, and of the rounding in it."""


class Part(NamedTuple):
    """Vectors of unit length, the rows that they are of, in order, and what those rows are labelled with.

    `kept` is what a structure is built from again.
    """

    vectors: Tensor  # (n, w) fp32
    rows: Tensor  # (n,) long
    targets: Tensor  # (n, ...)
    kept: Mapping[str, Tensor] = {}

    def of(self, chosen: Tensor) -> "Part":
        """Return the vectors of some rows, (r,) long; without a copy where these are all."""
        there = torch.isin(self.rows, chosen)
        if there.all():
            return self._replace(kept={})
        return Part(self.vectors[there], self.rows[there], self.targets[there])


def together(one: Part, other: Part) -> Part:
    """Return the vectors of both, which share no row, in the order of rows. They are copied once at most."""
    if not len(one.rows) or not len(other.rows):
        return one if len(one.rows) else other
    rows, order = torch.cat([one.rows, other.rows]).sort()
    vectors = one.vectors.new_empty(len(rows), one.vectors.shape[1])
    places = torch.tensor_split(order.argsort(), (len(one.rows),))
    for some, part in zip(places, (one, other), strict=True):
        vectors[some] = part.vectors
    return Part(vectors, rows, torch.cat([one.targets, other.targets])[order])


def write(folder: Path, part: Part) -> str:
    """Write a part into a folder, whole or not at all, and return its SHA-256, which names it."""
    stage = folder / ".part.partial"
    held = {f"kept.{name}": tensor for name, tensor in part.kept.items()}
    digest = tensors.write(
        stage, {"vectors": part.vectors, "rows": part.rows, "targets": part.targets, **held}
    )
    fsync(stage)
    stage.replace(folder / f"{digest[:16]}.safetensors")
    fsync(folder)
    return digest


def read(path: Path, width: int) -> Part:
    """Return the part in a file; its numbers are read as they are used. Raises RunError for another file."""
    held = tensors.load_tensors(path)
    kept = {name.removeprefix("kept."): held.pop(name) for name in list(held) if name.startswith("kept.")}
    if held.keys() != {"vectors", "rows", "targets"}:
        raise RunError(f"{path} holds {', '.join(sorted(held))}, and not the vectors of an index")
    part = Part(held["vectors"], held["rows"], held["targets"], kept)
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
