"""Noise."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion_features.reading import read


def noise(raw: Any, severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Multiply every feature by a number about 1, of a deviation of 10, 20, 40, 80 or 160 %.

    Features differ in their units, and of one vector nothing else is known than how large each is.
    """
    features = read(raw)
    deviation = (0.1, 0.2, 0.4, 0.8, 1.6)[severity - 1]
    return (features * (1 + deviation * rng.standard_normal(features.shape))).astype(np.float32)
