"""The data that flows: rows from a source, and the batch that a step sees."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

Row = Mapping[str, Any]
"""One row of a source; a key that is absent or None is an absent modality or an absent target."""


class Choices(tuple[Any, ...]):
    """Several equally good samples of one modality in a row, such as the five captions of a photo.

    Training takes one in each epoch, and each once before any comes again; evaluation takes all.
    """


class Source(Protocol):
    """Rows with random access; a `datasets.Dataset` already is one. Must be picklable."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Row: ...


class Stream(ABC):
    """Rows that can only be read one after the other, to train on. Must be picklable.

    Which of them a step sees depends on the number of ranks and workers, and roughly on the seed.
    """

    @abstractmethod
    def rows(self, part: int, parts: int, seed: int) -> Iterator[Row]:
        """Yield the rows of one part once, shuffled as far as the stream can be; the parts share no row."""


MISSING = -100
"""The mark of a row without a target, in integers; what torch's cross entropy leaves out."""


class Target(NamedTuple):
    """What an objective wants to read from a row: the type and shape of one value, and its range."""

    dtype: torch.dtype
    shape: tuple[int, ...] = ()
    below: int | None = None  # values lie in 0..below-1

    @property
    def missing(self) -> float:
        """The mark of a row without this target: NaN in floats, MISSING in integers."""
        return float("nan") if self.dtype.is_floating_point else MISSING

    def blank(self, rows: int) -> Tensor:
        """Return the values of so many rows of which none is known, (rows, ...)."""
        return torch.full((rows, *self.shape), self.missing, dtype=self.dtype)


def missing(target: Tensor) -> Tensor:
    """Return which values of a batch's target are not known, bool of its shape."""
    return target.isnan() if target.is_floating_point() else target == MISSING


class Batch(NamedTuple):
    """b rows of one step; the inputs of a modality hold its n present rows only, in row order.

    `shown` is what the fuser may see: `present` less modality dropout, or one subset in evaluation.
    `content` is equal where two rows hold the same sample of a modality, and 0 where that is unknown.
    A batch in micro-batches has them, the same rows in the same order, in `parts`: they hold its inputs.
    """

    present: dict[str, Tensor]  # (b,) bool; first, because Accelerate reads the batch size off it
    shown: dict[str, Tensor]  # (b,) bool
    inputs: dict[str, dict[str, Tensor]]  # (n, ...)
    targets: dict[str, Tensor]  # (b, ...)
    content: dict[str, Tensor]  # (b,) long
    source: Tensor  # (b,) long
    row: Tensor  # (b,) long
    parts: Sequence["Batch"] = ()
