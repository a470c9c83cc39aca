"""Read a row of features: one vector, or one for each of t moments."""

import numpy as np
from numpy.typing import NDArray

from fusion import DataError, decode


def read(raw: object) -> NDArray[np.float32]:
    """Return features (t, d); a vector (d,) is one moment. Raises DataError for anything else."""
    features = np.atleast_2d(decode.numbers(raw, "features"))
    if not np.isfinite(features).all():
        raise DataError("the features hold NaN or infinity")
    return features
