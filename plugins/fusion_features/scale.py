"""The mean and deviation of each feature, over all moments of many samples, without holding them."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

DIGITS = 6  # of a deviation that is written into a recipe; a mean has as many as that takes


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
    std = np.where(constant, 1.0, std)
    more = np.ceil(np.log10(np.maximum(np.abs(mean) / std, 1)))  # digits of a mean that is far from zero
    return Scale(_rounded(mean, DIGITS + more), _rounded(std, np.full(len(std), DIGITS)))


def _rounded(numbers: NDArray[np.float64], digits: NDArray[Any]) -> list[float]:
    return [float(f"{number:.{int(count)}g}") for number, count in zip(numbers, digits, strict=True)]
