"""Bring sounds into one channel of floats."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fusion.data.media import reading
from fusion.errors import DataError

if TYPE_CHECKING:
    import soundfile

MAX_SECONDS = 3600.0
MAX_RATE = 1_000_000  # Hz
MAX_SAMPLES = 3600 * 48_000  # of each channel: an hour as films have it, 691 MB
BLOCK = 1 << 22  # numbers of all channels that are read at once

Waveform = npt.NDArray[np.float32]


def audio(raw: Any, rate: int, seconds: float) -> Waveform:
    """Return the first `seconds` as one channel at `rate` Hz, (samples,) in about [-1, 1].

    `raw` is a pair (waveform, rate), a path, or the bytes of a file that libsndfile reads (wav, flac, ogg,
    mp3 ...). The waveform is (samples,), (samples, channels) or (channels, samples), of floats, int16 or
    int32; the longer axis is time. Channels are averaged.
    """
    import soxr

    wave, given_rate = _part(raw, 0.0, seconds)
    if given_rate == rate:
        return wave
    resampled = soxr.resample(wave, given_rate, rate)[: round(seconds * rate)]
    if not resampled.size:
        raise DataError(
            f"sound of {len(wave)} samples at {given_rate} Hz is less than one sample at {rate} Hz"
        )
    return resampled  # type: ignore[no-any-return]


def sound(raw: Any, start: float = 0.0, seconds: float = MAX_SECONDS) -> tuple[Waveform, int]:
    """Return a sound as one channel, (samples,) in about [-1, 1], and the rate that it has, in Hz.

    `raw` is what `audio` reads; more than an hour is refused. At most `seconds` from `start` on are read, and
    nothing else of a file. The waveform is the caller's to change.
    """
    if isinstance(raw, tuple) and len(raw) == 2:
        _check_length(len(_channels_last(raw[0])), _hertz(raw[1]))
    return _part(raw, start, seconds)


def duration(raw: Any) -> float:
    """Return how long a sound is, in seconds; of a file only the header is read."""
    if isinstance(raw, tuple) and len(raw) == 2:
        samples, rate = len(_channels_last(raw[0])), _hertz(raw[1])
    else:
        with _open(raw) as opened:
            samples, rate = opened.frames, _hertz(opened.samplerate)
    _check_length(samples, rate)
    return samples / rate


def _part(raw: Any, start: float, seconds: float) -> tuple[Waveform, int]:
    """Return some seconds as one channel at the rate that the sound has, and the rate."""
    if isinstance(raw, tuple) and len(raw) == 2:
        wave, rate = _channels_last(raw[0]), _hertz(raw[1])
        first, samples = _span(start, seconds, rate, len(wave))
        wave = wave[first : first + samples]
    else:
        with _open(raw) as opened:
            rate = _hertz(opened.samplerate)
            _check_length(opened.frames, rate)  # a silent hour of FLAC is 181 KB on disk and 461 MB in memory
            first, samples = _span(start, seconds, rate, opened.frames)
            if first:
                opened.seek(first)
            return _mixed(opened, min(samples, opened.frames - first)), rate
    if not wave.size:
        raise DataError("the sound holds no samples")
    return _mono(wave), rate


def _mixed(opened: "soundfile.SoundFile", samples: int) -> Waveform:
    """Read some samples as one channel; a file of a few KB can hold hours of eight silent ones."""
    blocks, each = [], max(1, BLOCK // opened.channels)
    while samples > 0:
        block = opened.read(min(each, samples), dtype="float32", always_2d=True)
        if not len(block):
            break
        blocks.append(_mono(block))
        samples -= len(block)
    if not blocks:
        raise DataError("the sound holds no samples")
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _span(start: float, seconds: float, rate: int, there: int) -> tuple[int, int]:
    """Return the first sample and how many to read: one at least, where there is one."""
    return max(0, min(round(start * rate), there - 1)), max(1, round(seconds * rate))


@contextmanager
def _open(raw: Any) -> "Iterator[soundfile.SoundFile]":
    """Open a sound file."""
    import soundfile

    with reading("sound", raw) as file:
        try:
            opened = soundfile.SoundFile(file)
        except soundfile.LibsndfileError as error:  # its own text holds a memory address
            raise ValueError(error.error_string) from error
        with opened:
            yield opened


def _check_length(samples: int, rate: int) -> None:
    if samples > MAX_SECONDS * rate:
        raise DataError(f"sound of {samples / rate:,.0f} s; at most {MAX_SECONDS:,.0f} s are read")
    if samples > MAX_SAMPLES:
        raise DataError(f"sound of {samples:,} samples; at most {MAX_SAMPLES:,} are read: lower its rate")


def _hertz(rate: Any) -> int:
    try:
        hertz = int(rate)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"sampling rate {rate!r}; a number of Hz is expected") from error
    if not 0 < hertz <= MAX_RATE:
        raise DataError(f"sampling rate of {hertz} Hz; 1 to {MAX_RATE:,} Hz are read")
    return hertz


def _channels_last(waveform: Any) -> npt.NDArray[Any]:
    """Return the waveform (samples, channels)."""
    try:
        wave = np.asarray(waveform)
    except Exception as error:  # ragged lists raise ValueError, a tensor on a GPU TypeError
        raise DataError(f"waveform of {type(waveform).__name__} is not an array: {error}") from error
    if wave.dtype not in (np.int16, np.int32) and not np.issubdtype(wave.dtype, np.floating):
        raise DataError(f"waveform of {wave.dtype}; floats, int16 and int32 are read")
    if wave.ndim not in (1, 2):
        raise DataError(
            f"waveform of shape {wave.shape}; (samples,), (samples, channels) or its transpose are read"
        )
    if wave.ndim == 1:
        return wave[:, None]
    return wave if wave.shape[0] >= wave.shape[1] else wave.T


def _mono(wave: npt.NDArray[Any]) -> Waveform:
    """Scale integers to [-1, 1) and average the channels: (samples, channels) to (samples,)."""
    if np.issubdtype(wave.dtype, np.integer):
        wave = wave / -float(np.iinfo(wave.dtype).min)
    with np.errstate(over="ignore", invalid="ignore"):  # caught by the check below
        mono = wave[:, 0] if wave.shape[1] == 1 else wave.mean(axis=1)
        mono = mono.astype(np.float32)
    if not np.isfinite(mono).all():
        raise DataError("the sound holds NaN, infinite or too large samples; about [-1, 1] is expected")
    return mono
