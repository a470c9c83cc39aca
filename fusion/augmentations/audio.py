"""Vary a sound: its speed, position and loudness, noise, and what of it can be heard.

Everything gives a pair (waveform, rate): one channel at the rate that the sound has. A strength of 0 leaves
a sound as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import soxr
from pydantic import Field

from fusion.augmentation import Augmentation
from fusion.data import decode

Sound = tuple[decode.Waveform, int]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=100)]


@dataclass(frozen=True, kw_only=True)
class AudioCrop(Augmentation):
    """Take `seconds` from anywhere in the sound; one that is shorter stays as it is.

    Of a file nothing else is read: put it first where sounds are long, as others vary all of what they get.
    """

    seconds: Annotated[float, Field(gt=0, le=decode.MAX_SECONDS)] = 10.0

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Sound:
        start = rng.uniform(0, max(0.0, decode.duration(raw) - self.seconds))
        return decode.sound(raw, start, self.seconds)


@dataclass(frozen=True, kw_only=True)
class AudioSpeed(Augmentation):
    """Play faster or slower by up to `strength`, pitch included (speed perturbation, Ko et al. 2015: 0.1)."""

    strength: Annotated[float, Field(ge=0, le=0.9)] = 0.1

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Sound:
        wave, rate = decode.sound(raw)
        speed = 1 + rng.uniform(-self.strength, self.strength)
        # "MQ" is as fast as linear interpolation, which adds aliases 13 dB below a tone of 5 kHz at 16 kHz
        return soxr.resample(wave, rate * speed, rate, quality="MQ"), rate


@dataclass(frozen=True, kw_only=True)
class AudioPosition(Augmentation):
    """Start later, after silence, or earlier, without the start; by up to a share of the length."""

    late: Share = 0.1
    early: Annotated[float, Field(ge=0, le=0.9)] = 0.0

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Sound:
        wave, rate = decode.sound(raw)
        start = rng.integers(-int(self.early * len(wave)), int(self.late * len(wave)) + 1)
        if start < 0:
            return wave[-start:], rate
        return np.concatenate([np.zeros(start, np.float32), wave]), rate


@dataclass(frozen=True, kw_only=True)
class AudioGain(Augmentation):
    """Make louder or softer by up to so many decibels; 6 dB is about twice or half the amplitude."""

    decibels: Annotated[float, Field(ge=0, le=60)] = 6.0

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Sound:
        wave, rate = decode.sound(raw)
        wave *= np.float32(10 ** (rng.uniform(-self.decibels, self.decibels) / 20))
        return wave, rate


@dataclass(frozen=True, kw_only=True)
class AudioNoise(Augmentation):
    """Add white noise, of up to `strength` times the loudness (RMS) of the sound.

    0.1 is a signal-to-noise ratio of at least 20 dB, 0.2 of 14 dB, 1 of 0 dB.
    """

    strength: Annotated[float, Field(ge=0, le=10)] = 0.1

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Sound:
        wave, rate = decode.sound(raw)
        loudness = np.sqrt(np.mean(np.square(wave)))
        share = np.float32(rng.uniform(0, self.strength))
        wave += share * loudness * rng.standard_normal(len(wave), np.float32)
        return wave, rate


@dataclass(frozen=True, kw_only=True)
class AudioMask(Augmentation):
    """Silence random spans of time and bands of frequency: SpecAugment (Park et al. 2019, section 2).

    It is done to the sound itself, so that it works with every encoder. Each of `times` spans has up to
    the share `time` of the length; each of `bands` has up to the share `band` of the mel scale below half
    the rate. The paper's LibriSpeech double policy is 2 bands of 0.34 and 2 spans of 1 s.
    """

    times: Count = 1
    time: Share = 0.1
    bands: Count = 1
    band: Share = 0.1

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Sound:
        wave, rate = decode.sound(raw)
        for _ in range(self.times):
            span = int(rng.uniform(0, self.time) * len(wave))
            start = rng.integers(len(wave) - span + 1)
            wave[start : start + span] = 0
        if self.bands and self.band:
            wave = self._without_bands(wave, rate, rng)
        return wave, rate

    def _without_bands(self, wave: decode.Waveform, rate: int, rng: np.random.Generator) -> decode.Waveform:
        size = _fast(len(wave))
        spectrum = np.fft.rfft(wave, size)
        top = _mel(rate / 2)
        for _ in range(self.bands):
            width = rng.uniform(0, self.band) * top
            low = rng.uniform(0, top - width)
            first, end = (round(_hertz(mel) / rate * size) for mel in (low, low + width))
            spectrum[first:end] = 0
        return np.fft.irfft(spectrum, size)[: len(wave)].astype(np.float32, copy=False)


def _mel(hertz: float) -> float:
    """Return a frequency on the mel scale of HTK (O'Shaughnessy 1987)."""
    return float(2595 * np.log10(1 + hertz / 700))


def _hertz(mel: float) -> float:
    return float(700 * (10 ** (mel / 2595) - 1))


def _fast(length: int) -> int:
    """Return the next length of up to 16 times a power of two; the FFT of a prime takes ten times as long."""
    step = 1 << max(0, length.bit_length() - 4)
    return -(-length // step) * step
