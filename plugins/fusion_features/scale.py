"""The mean and deviation of each feature, over all moments of many samples, without holding them."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DIGITS = 6  # of a number that is written into a recipe


class Scale(NamedTuple):
    mean: list[float]  # d of them
    std: list[float]  # 1 where a feature is constant


def scale(samples: Iterable[NDArray[np.float32]]) -> Scale | None:
    """Return the scale of samples (t, d) of one d; None without any.

    Means and squared deviations are merged sample by sample (Chan et al. 1979), so that features that are
    large beside their deviation lose no digits.
    """
    count, mean, squares = 0, np.zeros(0), np.zeros(0)
    for sample in samples:
        rows = sample.astype(np.float64)
        if not count:
            mean, squares = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
        own = rows.mean(axis=0)
        apart, total = own - mean, count + len(rows)
        squares += ((rows - own) ** 2).sum(axis=0) + apart**2 * count * len(rows) / total
        mean = mean + apart * len(rows) / total
        count = total
    if not count:
        return None
    std = np.sqrt(squares / count)
    constant = std <= 1e-6 * np.abs(mean)
    return Scale(_rounded(mean), _rounded(np.where(constant, 1.0, std)))


def _rounded(numbers: NDArray[np.float64]) -> list[float]:
    return [float(f"{number:.{DIGITS}g}") for number in numbers]
