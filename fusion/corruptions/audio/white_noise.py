"""Noise."""

from typing import Any

import numpy as np

from fusion.data import decode


def white_noise(raw: Any, severity: int, rng: np.random.Generator) -> tuple[decode.Waveform, int]:
    """Add white noise at a signal-to-noise ratio of 20, 15, 10, 5 or 0 dB, those of Aurora-2.

    Hirsch & Pearce 2000. The ratio is that of the whole sound, and met exactly; silence stays silent.
    """
    wave, rate = decode.sound(raw)
    ratio = (20, 15, 10, 5, 0)[severity - 1]
    noise = rng.standard_normal(len(wave))
    scale = np.sqrt(np.mean(np.square(wave, dtype=np.float64)) / np.mean(noise**2)) * 10 ** (-ratio / 20)
    return (wave + scale * noise).astype(np.float32), rate
