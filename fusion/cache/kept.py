"""Read what an entry holds: features by the place of their sample, targets by row; and rows made of them."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusion.batch import Choices, Row, Source, Target, missing
from fusion.cache.arrays import Array, Joined
from fusion.cache.entry import Entry
from fusion.data.draw import choices
from fusion.data.fingerprint import Kept, fingerprint
from fusion.data.order import Ints
from fusion.encoder import Encoding, Processor
from fusion.errors import DataError
from fusion.files import parse_json


class Held:
    """An entry about some rows of a source. Picklable: files are mapped where they are read.

    Rows are told by their place among those of the entry, which is -1 for the others.
    """

    def __init__(self, entry: Entry, rows: Ints, size: int) -> None:
        self.entry, self.rows, self.size = entry, rows, size

    def __getstate__(self) -> dict[str, Any]:
        return {"entry": self.entry, "rows": self.rows, "size": self.size}

    def place(self, row: Ints) -> Ints:
        if len(self.rows) == self.size:  # all there are
            return row
        place = np.searchsorted(self.rows, row).clip(max=len(self.rows) - 1)
        return np.where(self.rows[place] == row, place, -1)

    def array(self, name: str) -> Joined:
        return Joined(self.entry.parts(name))

    @cached_property
    def first(self) -> Ints:
        """The place of the first sample of each row, and an end, (rows + 1,)."""
        return np.concatenate([[0], self.array("counts").whole().cumsum()])

    @property
    def faulty(self) -> Ints:
        """The places of the rows that cannot be read, or of which a sample cannot."""
        rows = set(self.row_faults)
        if self.sample_faults:
            rows.update(np.searchsorted(self.first, list(self.sample_faults), "right") - 1)
        return np.array(sorted(rows), np.int64)

    @property
    def row_faults(self) -> dict[int, str]:
        """Which rows cannot be read, and why."""
        return self._faults[0]

    @property
    def sample_faults(self) -> dict[int, str]:
        """Which samples cannot be read, and why."""
        return self._faults[1]

    @cached_property
    def _faults(self) -> tuple[dict[int, str], dict[int, str]]:
        found: tuple[dict[int, str], dict[int, str]] = {}, {}
        rows = samples = 0
        for path in self.entry.parts("faults"):
            part = parse_json(path.read_text("utf-8"))
            for faults, start, key in zip(found, (rows, samples), ("rows", "samples"), strict=True):
                faults |= {start + int(number): fault for number, fault in part[key].items()}
            rows, samples = rows + part["size"][0], samples + part["size"][1]
        return found


class HeldFeatures(Held):
    """The features of a modality. A sample is told by its place among all samples of the rows."""

    @cached_property
    def content(self) -> Ints:
        """The fingerprint of each sample."""
        return self.array("content").whole()

    @cached_property
    def pooled(self) -> Joined:
        return self.array("pooled")

    def token_lengths(self, places: Ints) -> Ints:
        return self._tokens_from[places + 1] - self._tokens_from[places]

    def tokens(self, place: int) -> tuple[Array, Array]:
        """Return the tokens of a sample, (t, d), and which of them are real, (t,)."""
        start, stop = self._tokens_from[place : place + 2].tolist()
        return self._tokens.between(start, stop), self._real.between(start, stop)

    @cached_property
    def _tokens_from(self) -> Ints:
        return np.concatenate([[0], self.array("lengths").whole().cumsum()])

    @cached_property
    def _tokens(self) -> Joined:
        return self.array("tokens")

    @cached_property
    def _real(self) -> Joined:
        return self.array("real")

    @property
    def has_tokens(self) -> bool:
        return bool(self.entry.parts("tokens"))


class HeldTargets(Held):
    """The targets of rows, by name."""

    def __init__(self, entry: Entry, rows: Ints, size: int, targets: Mapping[str, Target]) -> None:
        super().__init__(entry, rows, size)
        self.targets = dict(targets)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "targets": self.targets}

    def take(self, places: Ints) -> dict[str, Tensor]:
        """Return the targets of rows at these places, (n, ...) each."""
        return {
            name: torch.from_numpy(joined.take(places)).to(self.targets[name].dtype)
            for name, joined in self._arrays.items()
        }

    @property
    def known(self) -> int:
        """For how many rows any of the targets is known."""
        values = self.take(np.arange(len(self.rows)))
        some = [~missing(value).flatten(1).all(1) for value in values.values()]
        return int(torch.stack(some).any(0).sum())

    @cached_property
    def _arrays(self) -> dict[str, Joined]:
        return {name: self.array(f"target{number}") for number, name in enumerate(self.targets)}


def stack(held: Mapping[int, HeldFeatures], source: Ints, places: Ints) -> dict[str, Tensor]:
    """Return what an encoder gave for n samples, each at a place of its source, as inputs of a batch."""
    parts = [(held[number], np.flatnonzero(source == number)) for number in np.unique(source).tolist()]
    pooled = np.empty((len(places), *parts[0][0].pooled.shape), np.float32)
    for features, where in parts:
        pooled[where] = features.pooled.take(places[where])
    tokens = mask = None
    if parts[0][0].has_tokens:
        longest = max(int(features.token_lengths(places[where]).max()) for features, where in parts)
        tokens = torch.zeros(len(places), max(1, longest), pooled.shape[1])
        mask = torch.zeros(tokens.shape[:2], dtype=torch.bool)
        for features, where in parts:
            for at in where.tolist():
                some, real = features.tokens(int(places[at]))
                tokens[at, : len(some)] = torch.from_numpy(some.astype(np.float32))
                mask[at, : len(real)] = torch.from_numpy(real.astype(bool))
    return Encoding(torch.from_numpy(pooled), tokens, mask).as_inputs()


class Reread(Processor):
    """Stands for the processor of a modality of which features are kept."""

    def __init__(self, held: Mapping[int, HeldFeatures]) -> None:
        self.held = dict(held)  # by the number of the source

    def decode(self, raw: Kept) -> tuple[int, int]:
        """Return where the features are. Raises DataError where there are none, or of another sample."""
        if raw.fault is not None:
            raise DataError(raw.fault)
        if fingerprint(raw.raw) != raw.number:
            raise DataError("the sample has changed since its features were kept; run `fusion cache clear`")
        return raw.source, raw.place

    def collate(self, samples: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
        source, place = np.array(samples, np.int64).T
        return stack(self.held, source, place)


class Rows:
    """A source whose rows hold, in place of samples, where their features are."""

    def __init__(self, source: Source, number: int, held: Mapping[str, HeldFeatures]) -> None:
        self.source, self.number, self.held = source, number, dict(held)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Row:
        row = self.source[index]
        return {**row, **{name: self._kept(name, index, row) for name in self.held}}

    def _kept(self, name: str, index: int, row: Row) -> Choices | None:
        """Return what stands for the samples; None for a row that is only looked at to mix with."""
        held = self.held[name]
        place = int(held.place(np.array([index]))[0])
        if place < 0:
            return None
        start, stop = held.first[place : place + 2].tolist()
        given = choices(row, [name]).get(name, ())
        if len(given) != stop - start:
            raise DataError(f"{name}: has changed since its features were kept; run `fusion cache clear`")
        return Choices(
            Kept(raw, int(held.content[at]), self.number, at, held.sample_faults.get(at))
            for at, raw in enumerate(given, start)
        )
