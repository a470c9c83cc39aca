"""Numbers in another unit."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fusion_tabular.rows import hit, measured


def wrong_unit(raw: Any, severity: int, rng: np.random.Generator) -> Mapping[str, Any]:
    """Multiply each number by 10, 100 or 1000 with probability 5, 10, 20, 30 or 40 %."""
    return hit(raw, (0.05, 0.1, 0.2, 0.3, 0.4)[severity - 1], rng, _rescaled)


def _rescaled(cell: Any, rng: np.random.Generator) -> Any:
    factor, value = 10 ** int(rng.integers(1, 4)), measured(cell)
    return cell if value is None else value * factor
