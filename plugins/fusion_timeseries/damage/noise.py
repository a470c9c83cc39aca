"""Noise."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion_timeseries.reading import read, size


def noise(raw: Any, severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Add white noise at a signal-to-noise ratio of 20, 15, 10, 5 or 0 dB, in every channel by itself.

    The signal is what varies about the mean of a channel; a constant one stays as it is.
    """
    series = read(raw)
    share = 10 ** (-(20, 15, 10, 5, 0)[severity - 1] / 20)
    return (series + share * size(series) * rng.standard_normal(series.shape)).astype(np.float32)
