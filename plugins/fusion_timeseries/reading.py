"""Read a time series: numbers (t,) or (t, channels), NaN where a point is missing."""

import numpy as np
from numpy.typing import NDArray

from fusion import DataError

MAX_NUMBERS = 50_000_000


def read(raw: object) -> NDArray[np.float32]:
    """Return a series (t, channels). Raises DataError for anything else, and where no point is known."""
    try:
        array = np.asarray(raw)
    except (TypeError, ValueError, RuntimeError) as error:  # a ragged list, a tensor on a GPU
        raise DataError(f"a series is numbers (t,) or (t, channels): {error}") from error
    if array.dtype.kind not in "biuf" or array.ndim not in (1, 2) or not array.size:
        raise DataError(
            f"a series is numbers (t,) or (t, channels), not {array.dtype} of shape {array.shape}"
        )
    if array.size > MAX_NUMBERS:
        raise DataError(f"a series of {array.size:,} numbers; at most {MAX_NUMBERS:,} are read")
    with np.errstate(over="ignore"):
        series = array.astype(np.float32)
    if np.isinf(series).any():
        raise DataError("the series holds infinity; NaN marks a point that is missing")
    if np.isnan(series).all():
        raise DataError("no point of the series is known; leave it out of the row")
    return series[:, None] if series.ndim == 1 else series
