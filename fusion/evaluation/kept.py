"""What is kept of the rows that are measured: the vectors of what they have, once."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fusion.evaluation.retrieval import Items, distinct
from fusion.evaluation.sweep import Rows


class Kept(NamedTuple):
    """r rows in the order of sources and rows; p of them have a modality.

    A row with several choices of a modality is there once for each, the first time with all it has.
    """

    vectors: dict[str, Tensor]  # (p, w)
    content: dict[str, Tensor]  # (p,) long
    at: dict[str, Tensor]  # (p,) long: which of the r rows
    labels: Tensor  # (r,) long, -100 where there is none
    place: Tensor  # (2, r) long: the source, and the row in it

    def of_source(self, number: int) -> "Kept":
        """Return the rows of a source, which lie side by side: nothing is copied."""
        start, stop = torch.searchsorted(self.place[0], torch.tensor([number, number + 1])).tolist()
        cuts = {
            name: slice(*torch.searchsorted(at, torch.tensor([start, stop])).tolist())
            for name, at in self.at.items()
        }
        return Kept(
            {name: self.vectors[name][cut] for name, cut in cuts.items()},
            {name: self.content[name][cut] for name, cut in cuts.items()},
            {name: self.at[name][cut] - start for name, cut in cuts.items()},
            self.labels[start:stop],
            self.place[:, start:stop],
        )

    @property
    def first(self) -> Tensor:
        """Whether a row is there for the first time, (r,) bool."""
        first = torch.ones(len(self.labels), dtype=torch.bool)
        first[1:] = (self.place[:, 1:] != self.place[:, :-1]).any(dim=0)
        return first

    @property
    def whole(self) -> "Kept":
        """Each row once, with the first of any choices."""
        first = self.first
        if first.all():
            return self
        chosen = {name: first[at] for name, at in self.at.items()}
        number = first.cumsum(0) - 1
        return Kept(
            {name: self.vectors[name][some] for name, some in chosen.items()},
            {name: self.content[name][some] for name, some in chosen.items()},
            {name: number[self.at[name][some]] for name, some in chosen.items()},
            self.labels[first],
            self.place[:, first],
        )

    def items(self, modality: str) -> Items:
        """Return what the rows hold of a modality, for retrieval."""
        at = self.at[modality]
        return distinct(self.vectors[modality], self.labels[at], self.content[modality], self.place[:, at])

    def having(self, modalities: Sequence[str]) -> Tensor:
        """Return which rows have all of these modalities, (r,) bool."""
        counts = torch.zeros(len(self.labels), dtype=torch.long)
        for name in modalities:
            counts[self.at[name]] += 1
        return counts == len(modalities)


class Keeper:
    """Keeps what comes batch by batch, in the order of sources and rows; `rows` is how many are expected."""

    def __init__(self, modalities: Sequence[str], target: str, rows: int) -> None:
        self.modalities, self.target, self.count = tuple(modalities), target, 0
        self.vectors, self.content, self.at = ({name: Column(rows) for name in modalities} for _ in range(3))
        self.labels, self.source, self.row = Column(rows), Column(rows), Column(rows)

    def add(self, rows: Rows) -> None:
        for name in self.modalities:
            present = rows.present[name]
            self.vectors[name].add(rows.vectors[name][present])
            self.content[name].add(rows.content[name][present])
            self.at[name].add(present.nonzero()[:, 0] + self.count)
        self.labels.add(rows.labels(self.target))
        self.source.add(rows.place["source"])
        self.row.add(rows.place["row"])
        self.count += len(rows.place["row"])

    def kept(self) -> Kept:
        vectors, content, at = (
            {name: column.filled for name, column in columns.items()}
            for columns in (self.vectors, self.content, self.at)
        )
        place = torch.stack([self.source.filled, self.row.filled])
        return Kept(vectors, content, at, self.labels.filled, place)


class Column:
    """Tensors one after the other in one piece of memory, of which what is not filled takes no room."""

    def __init__(self, room: int) -> None:
        self.room, self.count = room, 0
        self.held: Tensor | None = None

    def add(self, part: Tensor) -> None:
        count = self.count + len(part)
        if self.held is None:
            self.held = part.new_empty(self.room, *part.shape[1:])
        if count > len(self.held):
            grown = part.new_empty(2 * count, *part.shape[1:])
            grown[: self.count] = self.filled
            self.held = grown
        self.held[self.count : count] = part
        self.count = count

    @property
    def filled(self) -> Tensor:
        assert self.held is not None
        return self.held[: self.count]
