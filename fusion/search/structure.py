"""How the nearest of many vectors are found, and how well: by comparing with all, or with likely ones."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from fusion.errors import RunError
from fusion.gallery import Found, Gallery
from fusion.quantization.vectors import Ranges
from fusion.ties import best, products

NEAREST, GOAL = 10, 0.99
"""How many of the nearest are to be found, and which share of them, by the effort that is chosen."""
TIE = 1e-6
"""Scores that differ by less are of vectors that are as near."""


class Structure(ABC):
    """Finds the nearest of vectors (n, w) of unit length.

    `kept` are the tensors that `build` made of the same vectors. They may come from a stranger: a subclass
    raises RunError for what does not fit, before anything follows it.
    """

    efforts: ClassVar[tuple[int, ...]] = (1,)
    """More effort finds more of the nearest, in more time."""
    whole: ClassVar[bool] = False
    """Whether it finds the nearest themselves, by the vectors alone: nothing is kept, chosen or measured."""

    @classmethod
    def expect_library(cls) -> None:
        """Raise RunError where a library that it needs is not installed."""
        return

    @classmethod
    @abstractmethod
    def build(cls, vectors: Tensor) -> dict[str, Tensor]:
        """Return what is kept beside the vectors."""

    @abstractmethod
    def __init__(self, vectors: Tensor, kept: Mapping[str, Tensor]) -> None: ...

    @abstractmethod
    def search(self, queries: Tensor, k: int, effort: int) -> Found:
        """Return the nearest k, at most n, of q queries (q, w) of unit length by cosine.

        Of equal ones the first are taken, and come first. Items are -1 for none.
        """


class Exact(Structure):
    """Compares a query with every vector."""

    whole = True

    @classmethod
    def build(cls, vectors: Tensor) -> dict[str, Tensor]:
        return {}

    def __init__(self, vectors: Tensor, kept: Mapping[str, Tensor]) -> None:
        expect(kept, {})
        self.gallery = Gallery.of(vectors)

    def search(self, queries: Tensor, k: int, effort: int) -> Found:
        return self.gallery.search(queries, k, limit=1)


class Int8(Structure):
    """Compares a query with a byte for each number, and `effort` times as many as are asked for exactly."""

    efforts = (1, 2, 4, 8, 16, 32, 64)

    @classmethod
    def build(cls, vectors: Tensor) -> dict[str, Tensor]:
        made = Gallery.of(vectors, "int8")
        assert made.ranges is not None
        return {"codes": made.codes, **made.ranges._asdict()}

    def __init__(self, vectors: Tensor, kept: Mapping[str, Tensor]) -> None:
        count, width = vectors.shape
        ends = (torch.float32, (width,))
        expect(kept, {"codes": (torch.int8, (count, width)), "low": ends, "high": ends})
        ranges = Ranges(kept["low"], kept["high"])
        self.gallery = Gallery(kept["codes"], "int8", width, torch.arange(count), ranges)
        self.vectors = vectors

    def search(self, queries: Tensor, k: int, effort: int) -> Found:
        return self.gallery.search(queries, k, oversample=effort, vectors=self.vectors, limit=1)


def settled(queries: Tensor, of: Tensor, items: Tensor, vectors: Tensor, k: int) -> Found:
    """Return the nearest k of pairs of a query and an item, (m,) each; of equal ones the first."""
    scores = products(queries, of, items, lambda some: vectors[some], limit=1)
    scores, items = best(scores, of, items, len(queries), k)
    return Found(scores.float(), items)


def expect(kept: Mapping[str, Tensor], forms: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]) -> None:
    """Raise RunError where tensors are not of these names, types and shapes."""
    found = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in kept.items()}
    if found != dict(forms):
        raise RunError(f"the index keeps {found}, and its kind needs {dict(forms)}; `fusion index` it again")


def recall(found: Found, exact: Found) -> float:
    """Return the share of the nearest that was found, from 0 to 1.

    One that is as near as the last of the exact search counts, whichever it is (Aumüller et al. 2020, 3.6).
    """
    return float((found.scores >= exact.scores[:, -1:] - TIE).float().mean())


def calibrate(structure: Structure, vectors: Tensor, queries: Tensor) -> tuple[int, float]:
    """Return the least effort that finds the goal's share of the nearest of these queries, and that share.

    The most effort, where none does.
    """
    effort, share = structure.efforts[0], 1.0
    if not len(vectors) or not len(queries):
        return structure.efforts[-1], share
    k = min(NEAREST, len(vectors))
    exact = Gallery.of(vectors).search(queries, k)
    for effort in structure.efforts:
        share = recall(structure.search(queries, k, effort), exact)
        if share >= GOAL:
            break
    return effort, share
