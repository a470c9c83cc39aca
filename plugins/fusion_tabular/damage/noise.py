"""Numbers that are not exact."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fusion_tabular.rows import hit, measured


def noise(raw: Any, severity: int, rng: np.random.Generator) -> Mapping[str, Any]:
    """Multiply every number by one about 1, of a deviation of 10, 20, 40, 80 or 160 %.

    Without the rows of the training, what is much for a column is not known; its own size is.
    """
    deviation = (0.1, 0.2, 0.4, 0.8, 1.6)[severity - 1]
    return hit(raw, 1.0, rng, lambda cell, rng: _about(cell, 1 + deviation * rng.standard_normal()))


def _about(cell: Any, factor: float) -> Any:
    value = measured(cell)
    return cell if value is None else value * factor
