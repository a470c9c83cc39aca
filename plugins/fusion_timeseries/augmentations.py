"""Vary a series: its points, its size, and what of it is known (Um et al. 2017; Iwana & Uchida 2021).

Everything gives (t, channels). A strength of 0 leaves a series as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fusion import Augmentation
from fusion_timeseries.reading import read, size, without

Series = NDArray[np.float32]
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, kw_only=True)
class SeriesJitter(Augmentation):
    """Add white noise, of up to `strength` deviations of each channel (Um et al. 2017)."""

    strength: Annotated[float, Field(ge=0, le=10)] = 0.1

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Series:
        series = read(raw)
        share = rng.uniform(0, self.strength)
        return (series + share * size(series) * rng.standard_normal(series.shape)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class SeriesScale(Augmentation):
    """Multiply each channel by a number about 1, of the deviation `strength` (Um et al. 2017).

    `patch-tst` brings every channel to its own scale, and does not see it.
    """

    strength: Annotated[float, Field(ge=0, le=10)] = 0.1

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Series:
        series = read(raw)
        return (series * (1 + self.strength * rng.standard_normal(series.shape[1]))).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class SeriesCrop(Augmentation):
    """Take a part of random length and place, at least the share `least` (Le Guennec et al. 2016)."""

    least: Annotated[float, Field(gt=0, le=1)] = 0.5

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Series:
        series = read(raw)
        length = max(1, round(rng.uniform(self.least, 1) * len(series)))
        start = rng.integers(len(series) - length + 1)
        part = series[start : start + length]
        return series if np.isnan(part).all() else part


@dataclass(frozen=True, kw_only=True)
class SeriesMask(Augmentation):
    """Let `spans` stretches of each channel be missing, each of up to a `share` of the length.

    One in which no point would be known stays as it is.
    """

    spans: Annotated[int, Field(ge=0, le=100)] = 2
    share: Share = 0.1

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Series:
        series = read(raw)
        lost = np.zeros(series.shape, bool)
        for _ in range(self.spans):
            for channel in lost.T:
                length = round(rng.uniform(0, self.share) * len(channel))
                start = rng.integers(len(channel) - length + 1)
                channel[start : start + length] = True
        return without(series, lost)
