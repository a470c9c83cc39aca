"""A room."""

from typing import Any

import numpy as np

from fusion.data import decode


def reverb(raw: Any, severity: int, rng: np.random.Generator) -> tuple[decode.Waveform, int]:
    """Let it sound in a room: the sound itself, and a tail of noise that decays exponentially (Polack 1988).

    The tail falls by 60 dB in 0.2, 0.4, 0.6, 0.9 or 1.3 s; the sound itself has 9, 6, 3, 0 or -3 dB more
    energy than the tail of an impulse. What would come after the end is cut off.
    """
    wave, rate = decode.sound(raw)
    seconds, ratio = ((0.2, 9), (0.4, 6), (0.6, 3), (0.9, 0), (1.3, -3))[severity - 1]
    length = min(len(wave), max(2, int(seconds * rate)))
    tail = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / (seconds * rate))
    tail[0] = 0
    energy = np.sum(tail**2)
    response = tail * np.sqrt(10 ** (-ratio / 10) / energy) if energy else tail
    response[0] = 1
    size = len(wave) + length - 1
    wet = np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(response, size), size)[: len(wave)]
    return wet.astype(np.float32), rate
