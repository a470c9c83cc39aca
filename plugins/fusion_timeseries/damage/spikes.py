"""Points that are far off."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion_timeseries.reading import read, size


def spikes(raw: Any, severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Move each point by 5 deviations of its channel, up or down, with probability 1, 2, 4, 8 or 16 %."""
    series = read(raw)
    hit = rng.random(series.shape) < (0.01, 0.02, 0.04, 0.08, 0.16)[severity - 1]
    return (series + 5 * size(series) * hit * rng.choice([-1, 1], series.shape)).astype(np.float32)
