"""Words that are mistyped."""

from collections.abc import Mapping
from string import ascii_lowercase
from typing import Any

import numpy as np

from fusion import decode
from fusion_tabular.cells import written
from fusion_tabular.rows import hit


def typos(raw: Any, severity: int, rng: np.random.Generator) -> Mapping[str, Any]:
    """Put a wrong letter into each word with probability 10, 20, 30, 40 or 50 %: it becomes unknown."""
    return hit(raw, 0.1 * severity, rng, _mistyped)


def _mistyped(cell: Any, rng: np.random.Generator) -> Any:
    place, letter = rng.random(), ascii_lowercase[rng.integers(len(ascii_lowercase))]
    if not isinstance(cell, str) or written(cell) is not None:
        return cell
    at = int(place * len(cell))
    return decode.Text(cell[:at] + letter + cell[at + 1 :])
