"""Search among vectors that are kept in few bits: roughly through all, then exactly through the best."""

from dataclasses import dataclass, replace
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

BLOCK = 1 << 16
"""Vectors of the gallery that are looked at together."""
FEW = 32
"""Queries up to which they are turned over in memory, in place of the many codes."""
BUDGET = 1 << 24
"""Numbers that are held at once."""


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
        self, queries: Tensor, k: int, *, oversample: float = 4.0, vectors: Tensor | None = None
    ) -> Found:
        """Return the k items of the largest inner product with each of the queries (q, w).

        Of bytes and signs, `oversample` * k are found first, by products of bytes with the query in bytes,
        or by how many signs are the query's (Hamming distance), and then ordered by the query as it is: with
        what the codes stand for, or with the `vectors` (g, w) that they were made of, where those are at
        hand. Floats are compared at once. Raises DataError where k or the width does not fit.
        """
        if queries.ndim != 2 or queries.shape[1] != self.width:
            raise DataError(f"queries are {tuple(queries.shape)}; the gallery needs (q, {self.width})")
        if not 0 < k <= len(self.codes):
            raise DataError(f"k is {k}; the gallery has {len(self.codes)} items, and 1 is the least")
        rough = self.precision in ("int8", "binary")
        most = min(len(self.codes), max(k, round(oversample * k))) if rough else k
        each = max(1, BUDGET // max(min(BLOCK, len(self.codes)), most * self.width))
        turns = [queries[start : start + each].float() for start in range(0, max(len(queries), 1), each)]
        found = [self._search(some, k, most, rough, vectors) for some in turns]
        return Found(torch.cat([part.scores for part in found]), torch.cat([part.items for part in found]))

    def _search(self, queries: Tensor, k: int, most: int, rough: bool, vectors: Tensor | None) -> Found:
        best = self._first(queries, most)
        if not rough:
            return best
        if vectors is None:
            there = decode(self.codes[best.items], self.precision, self.width, self.ranges)
        else:
            there = vectors[best.items].float()  # (q, most, w)
        scores, order = torch.einsum("qw,qcw->qc", queries, there).topk(k)
        return Found(scores, best.items.gather(1, order))

    def _first(self, queries: Tensor, most: int) -> Found:
        """Return the items that are best by the scores of the codes."""
        asked = self._asked(queries)
        scores, items = [], []
        for start in range(0, len(self.codes), BLOCK):
            found = self._compared(asked, self.codes[start : start + BLOCK])
            some, places = found.topk(min(most, found.shape[1]))
            scores.append(some)
            items.append(places + start)
        best, order = torch.cat(scores, 1).topk(most)
        return Found(best, torch.cat(items, 1).gather(1, order))

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
