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
    that are held, so rows that lie far apart in a large shard never meet in a batch. The rest of a shard
    that cannot be read counts as one bad row.
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
        """Yield the rows of one part once: those of its own shards, or with fewer shards every n-th row."""
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
        shared = len(shards) < parts
        first, step = (part, parts) if shared else (0, 1)
        for shard in shards if shared else shards[part::parts]:
            try:
                for table in self._parts.tables(int(shard)):
                    yield from self._read(table, first, step)
                    first = (first - len(table)) % step
            except (DataError, OSError) as error:
                yield Unreadable(f"the rest of shard {shard} cannot be read: {cause(error)}")

    def _read(self, table: pa.Table, first: int, step: int) -> Iterator[Row]:
        """Yield every `step`-th row of a table, if it is wanted."""
        there = by_name(table, self._meaning.files)
        gaps = {name: pa.chunked_array([pa.nulls(len(table), kind)]) for name, kind in self._types.items()}
        cells = gaps | {name: there[name] for name in self._types if name in there}
        wanted = mask(cells, self._meaning.labels, self._where)
        read = RowReader(cells, self._chosen, self._meaning)
        for place in range(first, len(table), step):
            if wanted is None or wanted[place]:
                try:
                    yield read(place)
                except DataError as error:
                    yield Unreadable(str(error))

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
