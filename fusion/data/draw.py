"""What varies a row in training: the choice among equal samples, augmentation, modality dropout."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fusion.augmentation import Chance
from fusion.batch import Choices, Row
from fusion.errors import DataError


class Turn(NamedTuple):
    """The turn of a row in training: what every draw for it depends on, and nothing else."""

    seed: int
    epoch: int
    source: int
    row: int

    def rng(self, stream: int) -> np.random.Generator:
        """Return the generator of one of the row's independent streams of draws."""
        return np.random.default_rng((*self, stream))

    def choose(self, choices: Choices, stream: int) -> Any:
        """Take one of the choices: in as many epochs as there are of them, each once."""
        if len(choices) == 1:
            return choices[0]
        cycle, place = divmod(self.epoch, len(choices))
        return choices[self._replace(epoch=cycle).rng(stream).permutation(len(choices))[place]]


class Drawn(NamedTuple):
    """A row for training: the sample of each modality, what became of it, and what the fuser may see."""

    chosen: dict[str, Any]
    varied: dict[str, Any]
    shown: frozenset[str]


class Draw:
    """Draws what a row shows in its turn, with a stream of draws of its own for every modality."""

    def __init__(
        self, augmentations: Mapping[str, Sequence[Chance]], modality_dropout: float, seed: int
    ) -> None:
        self.augmentations = dict(augmentations)
        self.modality_dropout = modality_dropout
        self.seed = seed

    def __call__(self, row: Row, modalities: Sequence[str], turn: Turn, other: Callable[[int], Row]) -> Drawn:
        """Draw for a row; `other` returns the row of its source that any number stands for, to mix with."""
        streams = streams_of(modalities)
        chosen = {name: turn.choose(some, streams[name]) for name, some in choices(row, modalities).items()}
        varied = {
            name: self._vary(name, raw, turn.rng(streams[name] + 1), other)
            if name in self.augmentations
            else raw
            for name, raw in chosen.items()
        }
        shown = frozenset(chosen)
        if self.modality_dropout and chosen:
            shown = survivors(tuple(chosen), turn.rng(0), self.modality_dropout)
        return Drawn(chosen, varied, shown)

    def _vary(self, name: str, raw: Any, rng: np.random.Generator, other: Callable[[int], Row]) -> Any:
        for augmentation, chance in self.augmentations[name]:
            if chance == 1.0 or rng.random() < chance:
                with naming(name):
                    raw = augmentation(raw, rng, partial(_partner, name, rng, other))
        return raw


def streams_of(modalities: Sequence[str]) -> dict[str, int]:
    """Return the stream in which each modality is chosen; the one after it varies it, and 0 hides some."""
    return {name: 2 * number for number, name in enumerate(modalities, start=1)}


def choices(row: Row, modalities: Sequence[str]) -> dict[str, Choices]:
    """Return what a row has of each modality, as choices; a single sample is a choice of one."""
    given = {name: row[name] for name in modalities if row.get(name) is not None}
    found = {name: some if isinstance(some, Choices) else Choices([some]) for name, some in given.items()}
    return {name: some for name, some in found.items() if some}


def survivors(present: Sequence[str], rng: np.random.Generator, modality_dropout: float) -> frozenset[str]:
    """Hide each present modality with the given probability, but never all of them."""
    draws = dict(zip(present, rng.random(len(present)), strict=True))
    kept = frozenset(name for name, draw in draws.items() if draw >= modality_dropout)
    return kept or frozenset([max(draws, key=draws.__getitem__)])


@contextmanager
def naming(modality: str) -> Iterator[None]:
    """Let a DataError say which modality it is about."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{modality}: {error}") from error


def _partner(name: str, rng: np.random.Generator, other: Callable[[int], Row]) -> Any:
    some = choices(other(int(rng.integers(2**62))), [name]).get(name)
    return None if some is None else some[int(rng.integers(len(some)))]
