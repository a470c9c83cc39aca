"""A bad line."""

from typing import Any

import numpy as np

from fusion.data import decode


def lowpass(raw: Any, severity: int, rng: np.random.Generator) -> tuple[decode.Waveform, int]:
    """Take away what lies above 3400 Hz, the band of a telephone, or above 2400, 1600, 1000 or 600 Hz."""
    wave, rate = decode.sound(raw)
    cut = (3400, 2400, 1600, 1000, 600)[severity - 1]
    spectrum = np.fft.rfft(wave)
    spectrum[np.fft.rfftfreq(len(wave), 1 / rate) > cut] = 0
    return np.fft.irfft(spectrum, len(wave)).astype(np.float32), rate
