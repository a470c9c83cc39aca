"""Search among vectors that are kept in few bits: roughly through all, then exactly through the best."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from fusion.errors import DataError, unknown
from fusion.evaluation import parts
from fusion.evaluation.ranges import read as read_ranges
from fusion.quantization.product import multiply, steps
from fusion.quantization.vectors import Ranges, decode, encode, signs
from fusion.ties import BUDGET, CLOSE, best, products, ranked

BLOCK = 1 << 16
"""Vectors of the gallery that are looked at together."""
FEW = 32
"""Queries up to which they are turned over in memory, in place of the many codes."""


class Found(NamedTuple):
    """The nearest items of q queries, the nearest first."""

    scores: Tensor  # (q, k) fp32, inner products
    items: Tensor  # (q, k) long, places in the gallery

    def recall(self, exact: "Found") -> float:
        """Return the share of what an exact search found that is found here, from 0 to 1."""
        there = (self.items[:, :, None] == exact.items[:, None]).any(1)  # (q, k)
        return float(there.float().mean())


@dataclass(frozen=True)
class Gallery:
    """Vectors of width w in a precision, and the row of its source that each is of."""

    codes: Tensor  # (g, w) fp32, fp16 or int8, or (g, w / 8 rounded up) uint8 for signs
    precision: str
    width: int
    rows: Tensor  # (g,) long
    ranges: Ranges | None = None  # of int8

    @classmethod
    def of(cls, vectors: Tensor, precision: str = "float32", ranges: Ranges | None = None) -> "Gallery":
        """Keep vectors (g, w) in a precision; for int8 within `ranges`, by default those of the vectors."""
        if precision == "int8" and ranges is None:
            ranges = Ranges(vectors.float().amin(0), vectors.float().amax(0))
        codes = encode(vectors, precision, ranges)
        return cls(codes, precision, vectors.shape[1], torch.arange(len(vectors)), ranges)

    @classmethod
    def read(cls, path: str | Path, column: str) -> "Gallery":
        """Read a modality, or "fused", of what `fusion embed` wrote, less the rows that do not have it.

        `path` is a file or a folder of parts. Raises DataError for another file, no such column, or parts
        of several embeddings.
        """
        place = Path(path)
        files = sorted(place.glob("*.parquet")) if place.is_dir() else [place]
        if not files:
            raise DataError(f"{place} holds no parquet files; give what `fusion embed` wrote")
        found = [_read(file, column) for file in files]
        for file, part in zip(files, found, strict=True):
            if _form(part) != _form(found[0]):
                raise DataError(
                    f"{file} and {files[0]} differ in precision, width or ranges of {column!r}, so that they "
                    "are no parts of one embedding; give a folder of what one `fusion embed` wrote"
                )
        codes, rows = torch.cat([part.codes for part in found]), torch.cat([part.rows for part in found])
        return replace(found[0], codes=codes, rows=rows)

    def search(
        self,
        queries: Tensor,
        k: int,
        *,
        oversample: float = 4.0,
        vectors: Tensor | None = None,
        limit: float = torch.inf,
    ) -> Found:
        """Return the k items of the largest inner product with each of the queries (q, w).

        Of bytes and signs, `oversample` * k are found first, by products of bytes with the query in bytes,
        or by how many signs are the query's (Hamming distance), and then ordered by the query as it is: with
        what the codes stand for, or with the `vectors` (g, w) that they were made of, where those are at
        hand. Floats are compared at once. Of equal products the first are taken, and come first; one counts
        no more than `limit`, such as 1 for cosines, beyond which rounding takes them. Raises DataError where
        k or the width does not fit.
        """
        if queries.ndim != 2 or queries.shape[1] != self.width:
            raise DataError(f"queries are {tuple(queries.shape)}; the gallery needs (q, {self.width})")
        if not 0 < k <= len(self.codes):
            raise DataError(f"k is {k}; the gallery has {len(self.codes)} items, and 1 is the least")
        most = min(len(self.codes), max(k, round(oversample * k))) if self._rough else k
        each = max(1, BUDGET // max(min(BLOCK, len(self.codes)), most * self.width))
        turns = [queries[start : start + each].float() for start in range(0, max(len(queries), 1), each)]

        def exactly(items: Tensor) -> Tensor:
            if vectors is not None and self._rough:
                return vectors[items].float()
            return decode(self.codes[items], self.precision, self.width, self.ranges)

        found = [self._search(some, k, most, exactly, limit) for some in turns]
        return Found(torch.cat([part.scores for part in found]), torch.cat([part.items for part in found]))

    @property
    def _rough(self) -> bool:
        """Whether the scores of codes are only near to what is wanted; they are whole numbers then."""
        return self.precision in ("int8", "binary")

    @cached_property
    def _longest(self) -> Tensor:
        lengths: Tensor = torch.linalg.vector_norm(self.codes, dim=1, dtype=torch.float32)
        return lengths.max()

    def _search(
        self, queries: Tensor, k: int, most: int, exactly: Callable[[Tensor], Tensor], limit: float
    ) -> Found:
        asked, close = self._asked(queries), queries.new_zeros(len(queries), 1)
        every = torch.arange(len(queries), device=queries.device)
        if not self._rough:
            close = CLOSE * self._longest * torch.linalg.vector_norm(queries, dim=1, keepdim=True)
        tops: list[Tensor] = []
        parts, equal = [], False
        for start in range(0, len(self.codes), BLOCK):
            scores = self._compared(asked, self.codes[start : start + BLOCK])
            some = scores.topk(min(most + 1, scores.shape[1]))
            top = torch.cat([*tops, some.values], 1)
            tops = [top.topk(min(most, top.shape[1])).values]  # of all blocks so far
            floor = tops[0][:, -1:] - close
            if some.values.shape[1] <= most or not bool((some.values[:, -1:] >= floor).any()):
                parts.append((some.values, some.indices + start))
                continue
            equal = True  # or nearly so, and of these any may be left out
            of, places = (scores >= floor).nonzero(as_tuple=True)
            items = places + start
            each = scores[of, places] if self._rough else products(queries, of, items, exactly, limit)
            parts.append(best(each, of, items, len(queries), most))
        found, items = (torch.cat(part, 1) for part in zip(*parts, strict=True))
        if self._rough:
            found, items = ranked(found, items, most)
        elif not equal:
            first = found.topk(min(most + 1, found.shape[1]))
            if bool((first.values.diff(dim=1) < -close).all()):
                return Found(first.values[:, :k].clamp(-limit, limit), items.gather(1, first.indices[:, :k]))
        of = every.repeat_interleave(items.shape[1])
        exact = products(queries, of, items.flatten(), exactly, limit).view_as(items)
        found, items = ranked(exact, items, k)
        return Found(found.float(), items)

    def _asked(self, queries: Tensor) -> Tensor:
        """Return queries as they are compared with codes."""
        if self.precision == "binary":
            return signs(encode(queries, "binary"), self.width)
        if self.ranges is not None:
            weighed = queries * self.ranges.step  # a query's own constant does not change its order
            return (weighed / steps(weighed, 1)).round().to(torch.int8)
        return queries

    def _compared(self, asked: Tensor, codes: Tensor) -> Tensor:
        if self.precision == "binary":
            return _products(asked, signs(codes, self.width))  # width - 2 * Hamming distance
        if self.ranges is not None:
            return _products(asked, codes)
        return asked @ codes.float().t()


def _products(asked: Tensor, codes: Tensor) -> Tensor:
    """Return the products of queries (q, w) with codes (g, w), (q, g)."""
    if len(asked) > FEW:
        return multiply(asked, codes.t())
    return multiply(codes, asked.t()).t()


def _form(part: Gallery) -> tuple[str, int, list[list[float]]]:
    """Return what says how codes are to be read."""
    return part.precision, part.width, [ends.tolist() for ends in part.ranges or ()]


def _read(file: Path, column: str) -> Gallery:
    footer = parts.read(file)
    if footer is None:
        raise DataError(f"{file} is no embedding; give what `fusion embed` wrote")
    kinds = pq.read_schema(file)
    names = [kind.name for kind in kinds if pa.types.is_fixed_size_list(kind.type)]
    if column not in names:
        raise DataError(unknown("column", column, names))
    table = pq.read_table(file, columns=["row", column])
    there = table.filter(table[column].is_valid())
    numbers = np.array(there[column].combine_chunks().flatten(), copy=True)
    return Gallery(
        torch.from_numpy(numbers.reshape(-1, kinds.field(column).type.list_size)),
        footer.made.get("precision", "float32"),
        footer.made.get("width", kinds.field(column).type.list_size),
        torch.tensor(there["row"].to_pylist(), dtype=torch.long),  # also of none
        read_ranges(footer.told).get(column),
    )
