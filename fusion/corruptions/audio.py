"""Damage a sound, in five severities; everything gives a pair (waveform, rate) of its length and rate."""

from typing import Any

import numpy as np

from fusion.data import decode

Sound = tuple[decode.Waveform, int]


def white_noise(raw: Any, severity: int, rng: np.random.Generator) -> Sound:
    """Add white noise at a signal-to-noise ratio of 20, 15, 10, 5 or 0 dB, those of Aurora-2.

    Hirsch & Pearce 2000. The ratio is that of the whole sound, and met exactly; silence stays silent.
    """
    wave, rate = decode.sound(raw)
    ratio = (20, 15, 10, 5, 0)[severity - 1]
    noise = rng.standard_normal(len(wave))
    scale = np.sqrt(np.mean(np.square(wave, dtype=np.float64)) / np.mean(noise**2)) * 10 ** (-ratio / 20)
    return (wave + scale * noise).astype(np.float32), rate


def reverb(raw: Any, severity: int, rng: np.random.Generator) -> Sound:
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


def clipping(raw: Any, severity: int, rng: np.random.Generator) -> Sound:
    """Cut off what is louder than 50, 30, 20, 10 or 5 % of the peak."""
    wave, rate = decode.sound(raw)
    level = (0.5, 0.3, 0.2, 0.1, 0.05)[severity - 1] * np.abs(wave).max()
    return wave.clip(-level, level), rate


def gaps(raw: Any, severity: int, rng: np.random.Generator) -> Sound:
    """Lose each 20 ms, as packets are lost on a line, with probability 10, 20, 30, 40 or 50 %."""
    wave, rate = decode.sound(raw)
    packet = max(1, round(0.02 * rate))
    lost = rng.random(-(-len(wave) // packet)) < 0.1 * severity
    wave[lost.repeat(packet)[: len(wave)]] = 0
    return wave, rate


def lowpass(raw: Any, severity: int, rng: np.random.Generator) -> Sound:
    """Take away what lies above 3400 Hz, the band of a telephone, or above 2400, 1600, 1000 or 600 Hz."""
    wave, rate = decode.sound(raw)
    cut = (3400, 2400, 1600, 1000, 600)[severity - 1]
    spectrum = np.fft.rfft(wave)
    spectrum[np.fft.rfftfreq(len(wave), 1 / rate) > cut] = 0
    return np.fft.irfft(spectrum, len(wave)).astype(np.float32), rate
