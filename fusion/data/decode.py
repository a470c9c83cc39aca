"""Bring images, sounds and text from the forms in which people have them into one, within limits.

Encoders' processors call these. Each raises DataError in one sentence when a sample cannot be read.
A flipped bit may still decode, to something else: only a checksum of the file finds that.
"""

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fusion.errors import DataError

if TYPE_CHECKING:
    import soundfile
    from PIL import Image

MAX_PIXELS = 50_000_000
MAX_SECONDS = 3600.0
MAX_RATE = 1_000_000  # Hz
MAX_CHARACTERS = 1_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")  # pillow opens 43, PostScript among them

Waveform = npt.NDArray[np.float32]


class Text(str):
    """A text that stays one: unlike another str it is never opened as the path of a file.

    For sources whose rows somebody else has written, such as the table of a download.
    """


def image(raw: Any, mode: str = "RGB") -> "Image.Image":
    """Return a PIL image of this mode, upright.

    `raw` is a PIL image, a path, the bytes of a file, or an array (h, w) or (h, w, 1|3|4) of uint8,
    uint16 or floats in [0, 1]. Of several frames the first is read; transparency is dropped and not
    painted over, as the preprocessing of pretrained encoders does it.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if isinstance(raw, np.ndarray):
        return Image.fromarray(_pixels(raw)).convert(mode)
    if type(raw) is Image.Image and raw.mode == mode and not raw.info:  # as an augmentation leaves it
        _check_size(raw.width, raw.height)
        return raw.copy()
    with _reading("image", raw, Image.Image) as file:
        try:
            opened = file if isinstance(file, Image.Image) else Image.open(file, formats=FORMATS)
        except UnidentifiedImageError as error:  # its own text holds a memory address
            raise DataError(f"cannot read the image ({_name(raw)}): none of {', '.join(FORMATS)}") from error
        except Image.DecompressionBombError as error:
            raise DataError(f"image of far more than the {MAX_PIXELS:,} pixels that are read") from error
        _check_size(opened.width, opened.height)
        upright = ImageOps.exif_transpose(opened)
        if upright.mode == "F" or upright.mode.startswith(
            "I"
        ):  # pillow would cut 16 bits off at 255: all white
            upright = Image.fromarray(_pixels(_shrunk(np.asarray(upright))))
        return upright.convert(mode)


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


def text(raw: Any) -> str:
    """Return the text without surrounding white space. `raw` is a str that is not blank."""
    if not isinstance(raw, str):
        raise DataError(f"text expected as str, not {type(raw).__name__}")
    if len(raw) > MAX_CHARACTERS:
        raise DataError(f"text of {len(raw):,} characters; at most {MAX_CHARACTERS:,} are read")
    stripped = raw.strip()
    if not stripped:
        raise DataError("the text is empty")
    try:
        stripped.encode()
    except UnicodeEncodeError as error:  # a lone surrogate, on which tokenizers raise
        raise DataError(f"the text holds a character that is not Unicode at {error.start}") from error
    return stripped


@contextmanager
def _reading(what: str, raw: Any, *opened: type) -> Iterator[Any]:
    """Yield what a decoder can open; whatever it raises becomes a DataError, and it does not warn."""
    if not isinstance(raw, (str, Path, bytes, *opened)):
        forms = "a path, bytes, " + ("an array or a PIL image" if opened else "or a pair (waveform, rate)")
        raise DataError(f"{what} expected as {forms}, not {type(raw).__name__}")
    if isinstance(raw, Text):
        raise DataError(f"{what} expected, not the text {raw[:100]!r}; its source does not say it is a path")
    if isinstance(raw, bytes) and not raw:
        raise DataError(f"the {what} is empty: 0 bytes")
    if isinstance(raw, str | Path) and not os.path.isfile(raw):  # Path.is_file raises on an overlong name
        raise DataError(f"{'a folder' if os.path.isdir(raw) else 'no such file'}: {_name(raw)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, palettes, odd metadata
            if isinstance(raw, str | Path):
                with open(raw, "rb") as file:  # pillow leaves a file open that may hold more frames
                    yield file
            else:
                yield io.BytesIO(raw) if isinstance(raw, bytes) else raw
    except DataError:
        raise
    except Exception as error:  # decoders raise dozens of types on a damaged file, ValueError to struct.error
        raise DataError(f"cannot read the {what} ({_name(raw)}): {error}") from error


def _name(raw: Any) -> str:
    if isinstance(raw, str | Path):
        return str(raw)[:200]
    return f"{len(raw):,} bytes" if isinstance(raw, bytes) else type(raw).__name__


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise DataError(f"image of {width} x {height} pixels; at most {MAX_PIXELS:,} are read")


def _pixels(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return (h, w) or (h, w, 3|4) in eight bits."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or not array.size:
        raise DataError(f"image array of shape {array.shape}; (h, w) or (h, w, 1|3|4) are read")
    _check_size(array.shape[1], array.shape[0])
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return (array >> 8).astype(np.uint8)
    if not np.issubdtype(array.dtype, np.floating):
        raise DataError(f"image array of {array.dtype}; uint8, uint16, or floats in [0, 1], are read")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # also true of NaN
        raise DataError(f"image array of floats from {low:g} to {high:g}; floats in [0, 1] are read")
    return (array * 255).round().astype(np.uint8)


def _shrunk(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return pillow's 32-bit integers as the 16 bits that older ones read into them."""
    fits = array.dtype == np.int32 and array.size and array.min() >= 0 and array.max() < 2**16
    return array.astype(np.uint16) if fits else array


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
            wave = opened.read(samples, dtype="float32", always_2d=True)
    if not wave.size:
        raise DataError("the sound holds no samples")
    return _mono(wave), rate


def _span(start: float, seconds: float, rate: int, there: int) -> tuple[int, int]:
    """Return the first sample and how many to read: one at least, where there is one."""
    return max(0, min(round(start * rate), there - 1)), max(1, round(seconds * rate))


@contextmanager
def _open(raw: Any) -> "Iterator[soundfile.SoundFile]":
    """Open a sound file."""
    import soundfile

    with _reading("sound", raw) as file:
        try:
            opened = soundfile.SoundFile(file)
        except soundfile.LibsndfileError as error:  # its own text holds a memory address
            raise ValueError(error.error_string) from error
        with opened:
            yield opened


def _check_length(samples: int, rate: int) -> None:
    if samples > MAX_SECONDS * rate:
        raise DataError(f"sound of {samples / rate:,.0f} s; at most {MAX_SECONDS:,.0f} s are read")


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
