"""Read rows in windows, each in batches of rows of similar length: for passes whose order is free."""

import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from torch.utils.data import Dataset, get_worker_info

from fusion.data.loader import Loaded, Reader, load
from fusion.data.order import Ints, Slots
from fusion.encoder import Processor

ROWS = 2_048
MEMORY = 64 * 2**20
"""Bytes of inputs in a window; each loader worker holds three of them at most."""
LOOK = 32
"""Rows by which it is told how large the inputs of a row are."""


class Window(Protocol):
    """Rows that are read together."""

    @property
    def slots(self) -> Slots: ...


class Span(NamedTuple):
    """Rows of a source from `start` up to `stop`."""

    source: int
    start: int
    stop: int

    def split(self, rows: int) -> list["Span"]:
        """Return spans of so many rows, the last with what is left."""
        return [
            self._replace(start=start, stop=min(start + rows, self.stop))
            for start in range(self.start, self.stop, rows)
        ]

    @property
    def slots(self) -> Slots:
        return Chosen(self.source, np.arange(self.start, self.stop, dtype=np.int64)).slots


class Chosen(NamedTuple):
    """Rows of a source by their numbers, (k,)."""

    source: int
    row: Ints

    def split(self, rows: int) -> list["Chosen"]:
        """Return what has so many rows, the last one what is left."""
        return [self._replace(row=self.row[start : start + rows]) for start in range(0, len(self.row), rows)]

    @property
    def slots(self) -> Slots:
        return Slots(np.full_like(self.row, self.source), self.row, np.zeros_like(self.row))


def windows(
    reader: Reader, spans: Sequence[Window], rows: int, tokens: int, workers: int
) -> Iterator[list[Loaded]]:
    """Yield for each span its rows in batches of at most so many rows and, padded, so many tokens.

    The rows of a batch are of similar length, the longest come first. Of a row with several choices of a
    modality the first is taken. What a batch holds depends on the span alone.
    """
    for found in load(_Windows(reader, spans, rows, tokens), range(len(spans)), workers):
        yield pickle.loads(found) if isinstance(found, bytes) else found  # from its own workers  # nosec B301


def room(reader: Reader, span: Span, batch: int) -> int:
    """Return how many rows a window of the span has, a batch at least.

    As many as fit into the memory of a window, by the look of some rows from all over the span; a batch
    where no processor counts the tokens of a sample.
    """
    processors = reader.collator.processors.values()
    if all(type(processor).count_tokens is Processor.count_tokens for processor in processors):
        return batch
    row = np.linspace(span.start, span.stop - 1, min(span.stop - span.start, LOOK)).astype(np.int64)
    found = reader(Chosen(span.source, row).slots).batch
    held = sum(tensor.nbytes for inputs in found.inputs.values() for tensor in inputs.values())
    return max(batch, min(ROWS, MEMORY * len(row) // max(held, 1)))


def cut(lengths: Sequence[Mapping[str, int]], rows: int, tokens: int) -> list[list[int]]:
    """Return which rows make up each batch: at most so many and, padded, so many tokens; one at least.

    `lengths` are those of the samples of a row, by modality.
    """
    order = sorted(range(len(lengths)), key=lambda row: -sum(lengths[row].values()))
    batches: list[list[int]] = []
    count: dict[str, int] = {}
    longest: dict[str, int] = {}
    for row in order:
        more = {name: count.get(name, 0) + (name in lengths[row]) for name in {**count, **lengths[row]}}
        reach = {name: max(longest.get(name, 0), lengths[row].get(name, 0)) for name in more}
        if not batches or len(batches[-1]) == rows or sum(more[name] * reach[name] for name in more) > tokens:
            batches.append([])
            more, reach = dict.fromkeys(lengths[row], 1), dict(lengths[row])
        batches[-1].append(row)
        count, longest = more, reach
    return batches


class _Windows(Dataset[list[Loaded] | bytes]):
    def __init__(self, reader: Reader, spans: Sequence[Window], rows: int, tokens: int) -> None:
        self.reader, self.spans, self.rows, self.tokens = reader, spans, rows, tokens

    def __getitem__(self, index: int) -> list[Loaded] | bytes:
        slots = self.spans[index].slots
        read, bad = self.reader.read(slots)
        samples = [some[0] for some in read]
        collator = self.reader.collator
        batches = []
        for places in cut([collator.count_tokens(sample) for sample in samples], self.rows, self.tokens):
            chosen = Slots(*(column[places] for column in slots))
            batches.append(Loaded(collator.stack([samples[place] for place in places], chosen), []))
        batches[0].bad.extend(bad)
        # by value: each tensor that a worker shares keeps a file open, and a window has hundreds
        return batches if get_worker_info() is None else pickle.dumps(batches)
