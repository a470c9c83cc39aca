"""Read the rows of a step or of a sweep, in loader workers, and hand them over as batches."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from fusion.batch import Batch, Source
from fusion.data.collate import UNREADABLE, BadRow, Collator, Sample
from fusion.data.order import Order, Slots
from fusion.errors import DataError, FusionError


class Loaded(NamedTuple):
    """A batch, and the rows of it that could not be read: they are absent in every modality."""

    batch: Batch
    bad: list[BadRow]


class Reader:
    """Reads slots of the given sources into a batch of the same number of rows."""

    def __init__(self, sources: Mapping[str, Source], collator: Collator) -> None:
        self.names = tuple(sources)
        self.sources = tuple(sources.values())
        self.collator = collator

    def __call__(self, slots: Slots, seed: int | None = None, modality_dropout: float = 0.0) -> Loaded:
        """Read b rows. With a seed, each row is augmented by (seed, epoch, source, row) alone."""
        samples: list[Sample] = []
        bad: list[BadRow] = []
        for source, row, epoch in zip(*(column.tolist() for column in slots), strict=True):
            rng = None if seed is None else np.random.default_rng((seed, epoch, source, row))
            try:
                sample = self.collator.decode(self.sources[source][row], rng, modality_dropout)
            except (DataError, OSError) as error:
                sample = UNREADABLE
                bad.append(BadRow(self.names[source], row, str(error)))
            except Exception as error:  # a fault of the source or of a processor, not of the row
                raise DataError(f"source {self.names[source]!r} failed at row {row}: {error!r}") from error
            samples.append(sample)
        return Loaded(self.collator.stack(samples, slots), bad)


class Steps(Dataset[Loaded]):
    """The training batches of one rank, by step."""

    def __init__(
        self, reader: Reader, order: Order, rank: int, ranks: int, seed: int, modality_dropout: float
    ) -> None:
        self.reader, self.order, self.rank, self.ranks = reader, order, rank, ranks
        self.seed, self.modality_dropout = seed, modality_dropout

    def __getitem__(self, step: int) -> Loaded:
        return self.reader(self.order(step).part(self.rank, self.ranks), self.seed, self.modality_dropout)


class Sweep(Dataset[Loaded]):
    """All rows of all sources once, in order, in batches; rank r of n takes every n-th batch."""

    def __init__(
        self, reader: Reader, batch: int, rank: int = 0, ranks: int = 1, limit: int | None = None
    ) -> None:
        self.reader = reader
        spans = [
            (number, start, min(start + batch, size))
            for number, source in enumerate(reader.sources)
            for size in [min(len(source), limit or len(source))]
            for start in range(0, size, batch)
        ]
        self.spans = spans[rank::ranks]

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, index: int) -> Loaded:
        source, start, stop = self.spans[index]
        row = np.arange(start, stop, dtype=np.int64)
        return self.reader(Slots(np.full_like(row, source), row, np.zeros_like(row)))


def load(dataset: Dataset[Loaded], indices: Sequence[int], workers: int) -> Iterator[Loaded]:
    """Yield the batches of these indices, in order. Raises what reading them raised, also in a worker."""
    loader = DataLoader(
        _Carried(dataset),
        batch_size=None,
        sampler=indices,
        num_workers=workers,
        worker_init_fn=_ignore_interrupts,
        generator=torch.Generator(),  # an own one: opening a loader draws from it, not from the global state
        pin_memory=torch.cuda.is_available(),
    )
    for loaded in loader:
        if isinstance(loaded, FusionError):
            raise loaded
        yield loaded


class _Carried(Dataset[Loaded | FusionError]):
    """Hands an error over as an item: a DataLoader would wrap its message in the worker's traceback."""

    def __init__(self, dataset: Dataset[Loaded]) -> None:
        self.dataset = dataset

    def __getitem__(self, index: int) -> Loaded | FusionError:
        try:
            return self.dataset[index]
        except FusionError as error:
            return error


def _ignore_interrupts(worker: int) -> None:
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the main process answers it
