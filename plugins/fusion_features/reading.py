"""Read a row of features: one vector, or one for each of t moments."""

import numpy as np
from numpy.typing import NDArray

from fusion import DataError

MAX_NUMBERS = 50_000_000


def read(raw: object) -> NDArray[np.float32]:
    """Return features (t, d); a vector (d,) is one moment. Raises DataError for anything else."""
    try:
        array = np.asarray(raw)
    except (TypeError, ValueError, RuntimeError) as error:  # a ragged list, a tensor on a GPU
        raise DataError(f"features are numbers (d,) or (t, d): {error}") from error
    if array.dtype.kind not in "biuf" or array.ndim not in (1, 2) or not array.size:
        raise DataError(f"features are numbers (d,) or (t, d), not {array.dtype} of shape {array.shape}")
    if array.size > MAX_NUMBERS:
        raise DataError(f"features of {array.size:,} numbers; at most {MAX_NUMBERS:,} are read")
    with np.errstate(over="ignore"):
        features = np.atleast_2d(array).astype(np.float32)
    if not np.isfinite(features).all():
        raise DataError("the features hold NaN or infinity")
    return features
