"""Vary a row of a table: cells of other rows, and cells that are missing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from fusion import Augmentation, DataError
from fusion_tabular.cells import missing
from fusion_tabular.columns import mapping
from fusion_tabular.rows import hit

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, kw_only=True)
class TableSwap(Augmentation):
    """Put into a `share` of the cells what other rows have there, each of one of its own.

    So the cells come from what their columns hold (SCARF, Bahri et al. 2022, which takes 0.6). A cell stays
    as it is where the other row has none or cannot be read, and so does one that is missing.
    """

    share: Share = 0.3

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> dict[str, Any]:
        row = dict(mapping(raw))
        held = [name for name, cell in row.items() if not missing(cell)]
        for place in rng.permutation(len(held))[: int(self.share * len(held))].tolist():
            cell = _partner(other).get(held[place])
            row[held[place]] = row[held[place]] if missing(cell) else cell
        return row


@dataclass(frozen=True, kw_only=True)
class TableMask(Augmentation):
    """Empty each cell with probability `strength`, but never all of them (VIME, Yoon et al. 2020).

    The encoder has what it learned for a missing cell in its place, where VIME has a cell of another row.
    """

    strength: Annotated[float, Field(ge=0, lt=1)] = 0.1

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> dict[str, Any]:
        return hit(raw, self.strength, rng, lambda cell, rng: None, spare=True)


def _partner(other: Callable[[], Any]) -> dict[Any, Any]:
    try:
        return dict(mapping(other()))
    except (DataError, OSError):  # its own turn counts that
        return {}
