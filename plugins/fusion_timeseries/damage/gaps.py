"""Points that are missing."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion_timeseries.reading import read, without


def gaps(raw: Any, severity: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Lose each tenth of the series in each channel with probability 10, 20, 30, 40 or 50 %, never all."""
    series = read(raw)
    spans = min(10, len(series))
    lost = rng.random((spans, series.shape[1])) < 0.1 * severity
    return without(series, lost[np.arange(len(series)) * spans // len(series)])
