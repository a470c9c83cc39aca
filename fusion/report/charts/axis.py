"""Map numbers to pixels and choose the ticks of an axis."""

import math
from typing import NamedTuple


class Axis(NamedTuple):
    """A linear or logarithmic scale from `low..high` to the pixels `start..stop`."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return self.start + (value - low) / (high - low) * (self.stop - self.start)

    def ticks(self) -> list[float]:
        if not self.log:
            return linear_ticks(self.low, self.high)
        return log_ticks(self.low, self.high)


def axis(values: list[float], start: float, stop: float, *, zero: bool = False, decades: bool = True) -> Axis:
    """Return an axis that holds these values; with `decades` logarithmic where they span two of them."""
    low, high = min(values), max(values)
    if decades and low > 0 and high / low >= 100:
        return Axis(low / 1.15, high * 1.15, start, stop, log=True)
    if zero and low >= 0:
        low = 0.0
    if low == high:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    margin = 0.04 * (high - low)
    return Axis(low if low == 0 else low - margin, high + margin, start, stop)


def linear_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round numbers from `low` to `high`, one, two or five times a power of ten apart."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten, thinned where there are more than seven."""
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    return [10.0**power for power in powers[:: 1 + len(powers) // 8]]
