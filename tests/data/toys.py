"""Three modalities of two numbers each, in plain lists, and a processor that reads them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fusion import Augmentation, DataError, Processor, Row, Target
from fusion.augmentation import Chance
from fusion.data.collate import Collator
from fusion.data.draw import Draw

NAMES = ("image", "text", "audio")


class Numbers(Processor):
    """Reads two numbers; a str is a sample that is broken."""

    def decode(self, raw: Any) -> Any:
        if isinstance(raw, str):
            raise DataError(raw)
        return np.array(raw, np.float32)


class Noise(Augmentation):
    """Adds noise; what cannot be read is left to the processor."""

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Any:
        return raw if isinstance(raw, str) else np.array(raw) + rng.normal(size=2)


class Mixed(Augmentation):
    """Puts the first number of another sample in the place of the second."""

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Any:
        partner = other()
        return raw if partner is None else [raw[0], partner[0]]


class Table:
    """A source of rows that are written out, or of as many as `length` that are counted up."""

    def __init__(self, rows: Mapping[int, Row] | None = None, length: int | None = None) -> None:
        self.rows = dict(rows or {})
        self.length = len(self.rows) if length is None else length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Row:
        if index in self.rows:
            return self.rows[index]
        return {name: [index, number] for number, name in enumerate(NAMES)}


def collator(**targets: Target) -> Collator:
    """Build a collator of the three modalities for given targets."""
    return Collator(dict.fromkeys(NAMES, Numbers()), targets)


def noisy(
    seed: int = 0, dropout: float = 0.0, augmentations: Mapping[str, Sequence[Chance]] | None = None
) -> Draw:
    """Build what draws rows: noise on every modality, or the given augmentations."""
    given = {name: [Chance(Noise(), 1.0)] for name in NAMES} if augmentations is None else augmentations
    return Draw(given, dropout, seed)


MIXING: Mapping[str, Sequence[Chance]] = {name: [Chance(Mixed(), 1.0)] for name in NAMES}
