"""The rows of a stress: those that were drawn, with what is damaged of them and nothing else."""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from fusion.batch import Choices, Row, Source
from fusion.data.draw import choices, naming
from fusion.data.loader import Loaded, Sweep
from fusion.data.order import Ints

Damage = Callable[[Any, np.random.Generator], Any]
"""Damages a raw sample; picklable. Every draw comes from the generator."""


class Damaged:
    """A source whose rows hold nothing but the damaged samples of these modalities.

    The draws depend on (seed, source, row, kind, which of the choices) and not on how severe the damage is:
    more of it is more of the same.
    """

    def __init__(
        self, source: Source, number: int, modalities: Sequence[str], damage: Damage, kind: str, seed: int
    ) -> None:
        self.source, self.number, self.modalities = source, number, tuple(modalities)
        self.damage, self.seed, self.stream = damage, seed, zlib.crc32(kind.encode())

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, row: int) -> Row:
        damaged = {}
        for name, some in choices(self.source[row], self.modalities).items():
            with naming(name):
                damaged[name] = Choices(self.damage(raw, self._rng(row, n)) for n, raw in enumerate(some))
        return damaged

    def _rng(self, row: int, choice: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, self.number, row, self.stream, choice))


def pick(size: int, number: int, rows: int | None, limit: int | None, seed: int) -> Ints:
    """Return which of the first `limit` rows of a source are measured: `rows` of them, drawn, in order."""
    size = min(size, limit or size)
    if rows is None or rows >= size:
        return np.arange(size)
    drawn = np.random.default_rng((seed, number)).choice(size, rows, replace=False)
    return np.sort(drawn).astype(np.int64)


class Sweeps(Dataset[Loaded]):
    """Sweeps over the same rows: a batch of the first, its rows of the others, the next batch."""

    def __init__(self, sweeps: Sequence[Sweep]) -> None:
        self.sweeps = sweeps

    def __len__(self) -> int:
        return len(self.sweeps) * len(self.sweeps[0])

    def __getitem__(self, index: int) -> Loaded:
        batch, sweep = divmod(index, len(self.sweeps))
        return self.sweeps[sweep][batch]
