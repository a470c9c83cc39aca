"""Read the rows of a step or of a sweep, in loader workers, and hand them over as batches."""

import os
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from fusion.batch import Batch, Source, Stream
from fusion.data.collate import UNREADABLE, BadRow, Collator, Sample
from fusion.data.draw import Draw, Turn
from fusion.data.order import Ints, Order, Slots
from fusion.data.parts import together
from fusion.data.stream import Tap
from fusion.errors import DataError, FusionError

Item = TypeVar("Item")


class Loaded(NamedTuple):
    """A batch, and the rows of it that could not be read: they are absent in every modality."""

    batch: Batch
    bad: list[BadRow]


class Reader:
    """Reads slots of the given sources into a batch.

    Without `draw` the rows are read as they are: one with several choices of a modality fills a place of
    the batch for each, the first with everything that the row has. With it they are drawn for training.
    """

    def __init__(
        self, sources: Mapping[str, Source | Stream], collator: Collator, draw: Draw | None = None
    ) -> None:
        self.names = tuple(sources)
        self.sources = tuple(sources.values())
        self.collator = collator
        self.draw = draw
        self.taps: dict[int, Tap] = {}  # of streams, in the process that reads them

    def __call__(self, slots: Slots) -> Loaded:
        """Read the rows of k slots; one that cannot be read is there without anything."""
        read, bad = self.read(slots)
        places = Slots(*(np.repeat(column, [len(samples) for samples in read]) for column in slots))
        return Loaded(self.collator.stack([sample for samples in read for sample in samples], places), bad)

    def read(self, slots: Slots) -> tuple[list[list[Sample]], list[BadRow]]:
        """Return the samples of each of k slots, one or more, and the rows that cannot be read."""
        every: list[list[Sample]] = []
        bad: list[BadRow] = []
        for source, row, epoch in zip(*(column.tolist() for column in slots), strict=True):
            with blaming(self.names[source], row):
                try:
                    every.append(self._read(source, row, epoch))
                except (DataError, OSError) as error:
                    every.append([UNREADABLE])
                    bad.append(BadRow(self.names[source], row, str(error)))
        return every, bad

    def _read(self, number: int, row: int, epoch: int) -> list[Sample]:
        source = self.sources[number]
        if self.draw is None:
            assert not isinstance(source, Stream)
            return self.collator.decode_all(source[row])
        turn = Turn(self.draw.seed, epoch, number, row)
        if isinstance(source, Stream):
            before, found = self.taps[number].last, next(self.taps[number])
            return [self.collator.draw(found, self.draw, turn, lambda _: before or found)]
        return [self.collator.draw(source[row], self.draw, turn, lambda n: source[n % len(source)])]


@contextmanager
def blaming(source: str, row: int) -> Iterator[None]:
    """Let a fault of a source or of a processor, which is not that of the row, say where it is."""
    try:
        yield
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        raise DataError(
            f"source {source!r} failed at row {row}: {error!r}, raised by {at.name} in "
            f"{at.filename}:{at.lineno}"
        ) from error


class Steps(Dataset[Loaded]):
    """The training batches of one rank, by step; with `micro` in micro-batches of so many rows at most."""

    def __init__(self, reader: Reader, order: Order, rank: int, ranks: int, micro: int | None = None) -> None:
        self.reader, self.order, self.rank, self.ranks, self.micro = reader, order, rank, ranks, micro

    def __getitem__(self, step: int) -> Loaded:
        if not self.reader.taps:
            self._tap(step)
        slots = self.order(step).part(self.rank, self.ranks)
        rows = len(slots.source)
        if self.micro is None or self.micro >= rows:
            return self.reader(slots)
        starts = range(0, rows, self.micro)
        read = [
            self.reader(Slots(*(column[start : start + self.micro] for column in slots))) for start in starts
        ]
        return Loaded(together([part.batch for part in read]), [row for part in read for row in part.bad])

    def _tap(self, first: int) -> None:
        """Begin to read this process's part of each stream; `first` is the first step that it reads."""
        assert self.reader.draw is not None
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        part, parts = self.rank * workers + worker, self.ranks * workers
        start = first - worker  # workers take the steps in turn
        for number, source in enumerate(self.reader.sources):
            if isinstance(source, Stream):
                skip = self.order.taken(number, start) // parts
                self.reader.taps[number] = Tap(source, part, parts, self.reader.draw.seed, skip)


class Sweep(Dataset[Loaded]):
    """All rows of all sources once, in order, in batches; rank r of n takes every n-th batch.

    Of each source the first `limit` rows are taken, or those that are `chosen`, by their numbers (k,).
    """

    def __init__(
        self,
        reader: Reader,
        batch: int,
        rank: int = 0,
        ranks: int = 1,
        limit: int | None = None,
        chosen: Sequence[Ints] | None = None,
    ) -> None:
        self.reader, self.chosen = reader, chosen
        self.sizes = [  # of all ranks, by source
            0 if isinstance(source, Stream) else min(len(source), limit or len(source))
            for source in reader.sources
        ]
        if chosen is not None:
            self.sizes = [len(rows) for rows in chosen]
        spans = [
            (number, start, min(start + batch, size))
            for number, size in enumerate(self.sizes)
            for start in range(0, size, batch)
        ]
        self.rows = sum(self.sizes)
        self.rounds = -(-len(spans) // ranks)  # in which each rank reads a batch, in the last one some
        self.spans = spans[rank::ranks]

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, index: int) -> Loaded:
        source, start, stop = self.spans[index]
        row = np.arange(start, stop, dtype=np.int64)
        if self.chosen is not None:
            row = self.chosen[source][start:stop]
        return self.reader(Slots(np.full_like(row, source), row, np.zeros_like(row)))


def load(dataset: Dataset[Item], indices: Sequence[int], workers: int) -> Iterator[Item]:
    """Yield the items of these indices, in order. Raises what reading them raised, also in a worker."""
    loader = DataLoader(
        _Carried(dataset),
        batch_size=None,
        sampler=indices,
        num_workers=workers,
        worker_init_fn=_ignore_signals,
        collate_fn=_as_it_is,
        generator=torch.Generator(),  # an own one: opening a loader draws from it, not from the global state
        pin_memory=torch.cuda.is_available(),
    )
    for loaded in loader:
        if isinstance(loaded, FusionError):
            raise loaded
        yield loaded


def worker_killed(error: BaseException) -> DataError | None:
    """Return what to raise for torch's error that a worker is no more, which comes wherever one is."""
    if not str(error).startswith("DataLoader worker (pid"):
        return None
    return DataError(
        f"a process that reads rows was killed ({error}), as a rule for want of memory; lower train.workers, "
        "and go on with --resume"
    )


class _Carried(Dataset[Item | FusionError]):
    """Hands an error over as an item: a DataLoader would wrap its message in the worker's traceback."""

    def __init__(self, dataset: Dataset[Item]) -> None:
        self.dataset = dataset

    def __getitem__(self, index: int) -> Item | FusionError:
        try:
            return self.dataset[index]
        except FusionError as error:
            return error


def _as_it_is(item: Item) -> Item:
    return item


def _ignore_signals(worker: int) -> None:
    """Ignore what reaches all processes, which the main one answers, but not how that one ends its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "darwin":  # which does not say who has sent a signal
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        Thread(target=_end_for, args=(os.getppid(),), daemon=True).start()


def _end_for(parent: int) -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != parent:
        pass
    os._exit(0)
