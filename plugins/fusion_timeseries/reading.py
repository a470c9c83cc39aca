"""Read a time series: numbers (t,) or (t, channels), NaN where a point is missing."""

import numpy as np
from numpy.typing import NDArray

from fusion import DataError, decode


def read(raw: object) -> NDArray[np.float32]:
    """Return a series (t, channels). Raises DataError for anything else, and where no point is known."""
    series = decode.numbers(raw, "series")
    if np.isinf(series).any():
        raise DataError("the series holds infinity; NaN marks a point that is missing")
    if np.isnan(series).all():
        raise DataError("no point of the series is known; leave it out of the row")
    return series[:, None] if series.ndim == 1 else series
