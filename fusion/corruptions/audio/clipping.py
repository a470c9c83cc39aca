"""What is too loud."""

from typing import Any

import numpy as np

from fusion.data import decode


def clipping(raw: Any, severity: int, rng: np.random.Generator) -> tuple[decode.Waveform, int]:
    """Cut off what is louder than 50, 30, 20, 10 or 5 % of the peak."""
    wave, rate = decode.sound(raw)
    level = (0.5, 0.3, 0.2, 0.1, 0.05)[severity - 1] * np.abs(wave).max()
    return wave.clip(-level, level), rate
