"""A sensor whose zero wanders."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion_timeseries.reading import read, size


def drift(raw: Any, severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Add a line from 0 to 0.5, 1, 2, 4 or 8 deviations of each channel, up or down."""
    series = read(raw)
    slope = (0.5, 1.0, 2.0, 4.0, 8.0)[severity - 1] * size(series) * rng.choice([-1, 1], series.shape[1])
    return (series + np.linspace(0, 1, len(series))[:, None] * slope).astype(np.float32)
