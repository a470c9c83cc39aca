"""Cells that are missing."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fusion_tabular.rows import hit


def missing_cells(raw: Any, severity: int, rng: np.random.Generator) -> Mapping[str, Any]:
    """Empty each cell with probability 10, 20, 30, 40 or 50 %, but never all of them."""
    return hit(raw, 0.1 * severity, rng, lambda cell, rng: None, spare=True)
