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


def size(series: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the standard deviation of each channel of a series, (channels,); 0 where nothing is known."""
    known = np.ma.masked_invalid(series.astype(np.float64))
    return np.asarray(known.std(axis=0).filled(0.0))


def without(series: NDArray[np.float32], lost: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return a series less the points that are lost, (t, channels); as it is, if no other is known."""
    left = np.where(lost, np.float32(np.nan), series)
    return series if np.isnan(left).all() else left
