"""Moments of which there is nothing."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion_features.reading import read


def gaps(raw: Any, severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Let each moment be zero with probability 10, 20, 30, 40 or 50 % (Yuan et al. 2021, section 4)."""
    features = read(raw)
    lost = rng.random(len(features)) < 0.1 * severity
    return np.where(lost[:, None], np.float32(0), features)
