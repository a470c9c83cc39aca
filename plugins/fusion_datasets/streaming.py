"""Read rows one after the other, without converting or downloading the whole data set first."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from fusion import DataError, Row, Stream
from fusion_datasets.columns import Column
from fusion_datasets.opening import Meaning
from fusion_datasets.parts import Parts
from fusion_datasets.rows import RowReader, needed
from fusion_datasets.selection import Where, mask
from fusion_datasets.table import by_name
from fusion_datasets.words import cause

BUFFER = 512  # rows that are held to be drawn from
PEEKED = 16  # tables that are looked at for a column


class Unreadable(Mapping[str, Any]):
    """A row that raises what is wrong with it when it is looked at, so that the stream goes on after it."""

    def __init__(self, error: str) -> None:
        self.error = error

    def __getitem__(self, key: str) -> Any:
        raise DataError(self.error)

    def __iter__(self) -> Iterator[str]:
        raise DataError(self.error)

    def __len__(self) -> int:
        return 0


class RowStream(Stream):
    """The rows of shards, one after the other.

    Their order is approximate: shards come in an order drawn from the seed, and rows are drawn out of 512
    that are held, so rows that lie far apart in a large shard never meet in a batch. Each process and worker
    goes round its own shards: with shards of different sizes the rows of small ones come more often. The rest
    of a shard that cannot be read counts as one bad row.
    """

    def __init__(
        self,
        parts: Parts,
        meaning: Meaning,
        chosen: Mapping[str, Column] | None,
        where: Where,
        limit: int | None,
    ) -> None:
        self._given = parts, meaning, chosen, where, limit
        self._parts, self._meaning, self._where, self._limit = parts, meaning, where, limit
        found = self._peek(needed(chosen or {}, where))
        self._chosen = {name: Column(name) for name in found} if chosen is None else chosen
        RowReader(found, self._chosen, meaning)  # says which column is not there
        mask(found, meaning.labels, where)
        self._types = {name: found[name].type for name in needed(self._chosen, where)}

    def __reduce__(self) -> tuple[type["RowStream"], tuple[Any, ...]]:
        return RowStream, self._given

    def rows(self, part: int, parts: int, seed: int) -> Iterator[Row]:
        """Yield the rows of one part once: those of its own shards, or every n-th row of all shards.

        The latter with fewer shards than parts, and with a limit, which keeps the first rows that fit.
        """
        rng = np.random.default_rng(seed)
        most = None if self._limit is None else len(range(part, self._limit, parts))
        held: list[Row] = []
        for row in islice(self._in_order(part, parts, rng), most):
            if len(held) < BUFFER:
                held.append(row)
                continue
            place = int(rng.integers(BUFFER))
            yield held[place]
            held[place] = row
        for place in rng.permutation(len(held)):
            yield held[place]

    def _in_order(self, part: int, parts: int, rng: np.random.Generator) -> Iterator[Row]:
        shards = np.arange(len(self._parts))
        if self._limit is None:  # which keeps the first rows
            rng.shuffle(shards)  # alike in all parts
        shared = len(shards) < parts or self._limit is not None
        first, step = (part, parts) if shared else (0, 1)
        for shard in shards if shared else shards[part::parts]:
            try:
                for table in self._parts.tables(int(shard)):
                    rows, read = self._wanted(table)
                    yield from (_row(read, row) for row in rows[first::step])
                    first = (first - len(rows)) % step
            except (DataError, OSError) as error:
                yield Unreadable(f"the rest of shard {shard} cannot be read: {cause(error)}")

    def _wanted(self, table: pa.Table) -> tuple[list[int], RowReader]:
        """Return the places of the rows of a table that fit, and what reads them."""
        there = by_name(table, self._meaning.files)
        gaps = {name: pa.chunked_array([pa.nulls(len(table), kind)]) for name, kind in self._types.items()}
        cells = gaps | {name: there[name] for name in self._types if name in there}
        wanted = mask(cells, self._meaning.labels, self._where)
        rows = range(len(table)) if wanted is None else np.flatnonzero(wanted).tolist()
        return list(rows), RowReader(cells, self._chosen, self._meaning)

    def _peek(self, names: Sequence[str]) -> dict[str, pa.ChunkedArray]:
        """Return the columns as they start; those named are looked for in some tables."""
        tables = (table for shard in range(len(self._parts)) for table in self._parts.tables(shard))
        found: dict[str, pa.ChunkedArray] = {}
        try:
            for table in islice(tables, PEEKED):
                found = by_name(table, self._meaning.files) | found
                if all(name in found for name in names):
                    break
        except (DataError, OSError) as error:
            raise DataError(f"the start of the stream cannot be read: {cause(error)}") from error
        if not found:
            raise DataError("the stream has no row")
        return found


def _row(read: RowReader, place: int) -> Row:
    try:
        return read(place)
    except DataError as error:
        return Unreadable(str(error))
