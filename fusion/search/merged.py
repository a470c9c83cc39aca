"""What an index holds: of each row what was written last, put together one modality at a time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fusion.search.part import Part, together
from fusion.search.record import FUSED
from fusion.search.rows import Rows


class Segment(NamedTuple):
    """What one update wrote: a vector of each row for each modality that it has, and a fused one.

    `rows` are those that the index has from here; of the others there is a later vector, or they are gone.
    """

    rows: Rows
    parts: Mapping[str, Part]

    def taken(self, modality: str) -> Tensor:
        """Return which of the vectors of a modality are of the index, (n,) bool."""
        return torch.from_numpy(self.rows.holds(self.parts[modality].rows.numpy()))

    def counts(self) -> tuple[int, int]:
        """Return how many rows the index has from here, and how many were written."""
        return int(self.taken(FUSED).sum()), len(self.parts[FUSED].rows)


class Merged(Mapping[str, Part]):
    """The vectors of some modalities in the order of rows, as if they had been written at once.

    They are put together when they are first asked for, and kept.
    """

    def __init__(self, segments: Sequence[Segment], modalities: Iterable[str]) -> None:
        self.segments, self._whole = segments, dict[str, Part]()
        self._modalities = [name for name in modalities if self._of(name)]

    def __getitem__(self, modality: str) -> Part:
        if modality not in self._modalities:
            raise KeyError(modality)
        if modality not in self._whole:
            self._whole[modality] = self.part(modality)
        return self._whole[modality]

    def __iter__(self) -> Iterator[str]:
        return iter(self._modalities)

    def __len__(self) -> int:
        return len(self._modalities)

    def rows(self, modality: str) -> Tensor:
        """Return the rows that have a modality, in order."""
        return torch.cat([part.rows[taken] for part, taken in self._of(modality)]).sort()[0]

    def part(self, modality: str, chosen: Tensor | None = None) -> Part:
        """Return the vectors of all rows that have a modality, or of some of these, without keeping them."""
        found = self._of(modality)
        if chosen is not None:
            found = [(part, taken & torch.isin(part.rows, chosen)) for part, taken in found]
        return together(found)

    def _of(self, modality: str) -> list[tuple[Part, Tensor]]:
        """Return what segments hold of a modality, each with which of it is taken, where any is."""
        held = [(one.parts[modality], one.taken(modality)) for one in self.segments if modality in one.parts]
        return [(part, taken) for part, taken in held if taken.any()]


def lasting(segments: Sequence[Segment], added: int) -> int:
    """Return how many segments, from the first, stay as they are when so many new rows come behind them.

    The others are written again with the new rows, as one. A segment stays while more than half of its rows
    are still of the index, and more than all later ones have: so there are few, the files hold fewer than
    twice the rows, and a row is written again only with as many others (Bentley and Saxe 1980).
    """
    stay, later = len(segments), added
    for place in reversed(range(len(segments))):
        taken, written = segments[place].counts()
        if 2 * taken <= written or taken <= later:
            stay = place
        later += taken
    return stay
