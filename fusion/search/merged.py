"""What an index holds after an update, put together one modality at a time, as that is most of its memory."""

from collections.abc import Mapping
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from fusion.search.part import Part, together


class Merged(NamedTuple):
    """The kept rows, (r,) long, of what an index held of each modality, and new rows, which are others."""

    held: Mapping[str, Part]
    new: Mapping[str, Part]
    kept: Tensor

    def modalities(self) -> list[str]:
        """Return those that rows have."""
        return [modality for modality in self.new or self.held if len(self.rows(modality))]

    def rows(self, modality: str) -> Tensor:
        """Return the rows that have it, in order."""
        return torch.cat(
            [part.rows[torch.isin(part.rows, rows)] for part, rows in self._of(modality)]
        ).sort()[0]

    def part(self, modality: str, chosen: Tensor | None = None) -> Part:
        """Return the vectors of all its rows, or of those that are chosen, without what was kept of them."""
        return reduce(
            together,
            [
                part.of(rows if chosen is None else rows[torch.isin(rows, chosen)])
                for part, rows in self._of(modality)
            ],
        )

    def _of(self, modality: str) -> list[tuple[Part, Tensor]]:
        """Return what there is of a modality, each with the rows that are taken of it."""
        found = [(self.held[modality], self.kept)] if modality in self.held else []
        return [*found, (self.new[modality], self.new[modality].rows)] if modality in self.new else found
