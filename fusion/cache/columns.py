"""What is read of the rows of a source, in loader workers, for what the cache keeps of them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from fusion.batch import Row, Source, Target
from fusion.cache.arrays import Array
from fusion.data.draw import choices
from fusion.data.fingerprint import fingerprint
from fusion.data.loader import blaming
from fusion.data.order import Ints
from fusion.data.target import read_target
from fusion.encoder import Processor
from fusion.errors import DataError


class Column(ABC):
    """Reads one thing of every row. Picklable and without weights."""

    @abstractmethod
    def read(self, row: Row) -> Any:
        """Return what a row has of it, or why that cannot be read, as a str."""

    @abstractmethod
    def join(self, rows: Sequence[Any]) -> Any:
        """Return what was read of r rows as arrays; a row that itself cannot be read is a str too."""

    @abstractmethod
    def probe(self, row: Row) -> list[Any]:
        """Return raw parts of a row by which another row would be told."""


class Samples(NamedTuple):
    """The s samples that r rows have of a modality; those that can be read are ready for its encoder."""

    counts: Ints  # (r,)
    content: Ints  # (s,)
    inputs: list[tuple[Ints, dict[str, Tensor]]]  # some of the samples, and their inputs
    rows: dict[int, str]  # which cannot be read, and why
    faults: dict[int, str]  # which samples cannot

    @property
    def whole(self) -> bool:
        return not (self.rows or self.faults)


class Modality(Column):
    """The samples of a modality, `batch` at a time for its encoder."""

    def __init__(self, name: str, processor: Processor, batch: int) -> None:
        self.name, self.processor, self.batch = name, processor, batch

    def read(self, row: Row) -> list[tuple[int, Any, str | None]]:
        return [(fingerprint(raw), *self._decode(raw)) for raw in self.probe(row)]

    def join(self, rows: Sequence[Any]) -> Samples:
        unread = {number: row for number, row in enumerate(rows) if isinstance(row, str)}
        counts = [0 if number in unread else len(row) for number, row in enumerate(rows)]
        samples = [sample for number, row in enumerate(rows) if number not in unread for sample in row]
        content = [sample[0] for sample in samples]
        faults = {place: fault for place, (_, _, fault) in enumerate(samples) if fault is not None}
        places = np.array([place for place in range(len(samples)) if place not in faults], np.int64)
        inputs = [
            (some, self.processor.collate([samples[place][1] for place in some.tolist()]))
            for start in range(0, len(places), self.batch)
            for some in [places[start : start + self.batch]]
        ]
        return Samples(np.array(counts, np.int64), np.array(content, np.int64), inputs, unread, faults)

    def probe(self, row: Row) -> list[Any]:
        return list(choices(row, [self.name]).get(self.name, ()))

    def _decode(self, raw: Any) -> tuple[Any, str | None]:
        try:
            return self.processor.decode(raw), None
        except (DataError, OSError) as error:
            return None, str(error)


class Values(NamedTuple):
    """The targets of r rows, by name, in 64 bits; one that is not known is marked."""

    values: dict[str, Array]  # (r, ...)
    rows: dict[int, str]  # which cannot be read, and why

    @property
    def whole(self) -> bool:
        return not self.rows


class Targets(Column):
    """What the objectives read from rows."""

    def __init__(self, targets: Mapping[str, Target]) -> None:
        self.targets = dict(targets)

    def read(self, row: Row) -> dict[str, Tensor] | str:
        given = self._given(row)
        try:
            return {name: read_target(name, raw, self.targets[name]) for name, raw in given.items()}
        except DataError as error:
            return str(error)

    def join(self, rows: Sequence[Any]) -> Values:
        unread = {number: row for number, row in enumerate(rows) if isinstance(row, str)}
        values = {name: target.blank(len(rows)) for name, target in self.targets.items()}
        for number, row in enumerate(rows):
            for name, value in {} if number in unread else row.items():
                values[name][number] = value
        return Values({name: wide(value).numpy() for name, value in values.items()}, unread)

    def probe(self, row: Row) -> list[Any]:
        return list(self._given(row).values())

    def _given(self, row: Row) -> dict[str, Any]:
        return {name: row[name] for name in self.targets if row.get(name) is not None}


def wide(values: Tensor) -> Tensor:
    """Return numbers in a type that numpy has and that holds all of them."""
    return values.to(torch.float64 if values.is_floating_point() else torch.int64)


class Blocks(Dataset[list[Any]]):
    """What the columns hold of some rows of a source: the `part`-th of `parts`, in blocks of `batch` rows.

    A row is read once for all columns. The blocks are the same however many parts there are.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        rows: Ints,
        columns: Sequence[Column],
        batch: int,
        part: int = 0,
        parts: int = 1,
    ) -> None:
        self.name, self.source, self.columns = name, source, list(columns)
        blocks = [rows[start : start + batch] for start in range(0, len(rows), batch)]
        self.blocks = blocks[part * len(blocks) // parts : (part + 1) * len(blocks) // parts]

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index: int) -> list[Any]:
        rows = [self._read(row) for row in self.blocks[index].tolist()]
        return [column.join([row[place] for row in rows]) for place, column in enumerate(self.columns)]

    def _read(self, number: int) -> list[Any]:
        with blaming(self.name, number):
            try:
                row = self.source[number]
            except (DataError, OSError) as error:
                return [str(error)] * len(self.columns)
            return [column.read(row) for column in self.columns]
