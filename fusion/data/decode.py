"""Bring images, sounds, text and numbers from the forms in which people have them into one, within limits.

Encoders' processors call these. Each raises DataError in one sentence when a sample cannot be read.
A flipped bit may still decode, to something else: only a checksum of the file finds that.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fusion.data.media import Text, named, readable, reading
from fusion.data.numbers import MAX_NUMBERS, numbers
from fusion.data.sounds import MAX_RATE, MAX_SECONDS, Waveform, audio, duration, sound
from fusion.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "FORMATS",
    "MAX_ASPECT",
    "MAX_CHARACTERS",
    "MAX_NUMBERS",
    "MAX_PIXELS",
    "MAX_RATE",
    "MAX_SECONDS",
    "Text",
    "Waveform",
    "audio",
    "duration",
    "image",
    "numbers",
    "readable",
    "reading",
    "sound",
    "text",
]

MAX_PIXELS = 50_000_000
MAX_ASPECT = 100  # of the longer side to the shorter: resizing the shorter side of a line fills the memory
MAX_CHARACTERS = 1_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")  # pillow opens 43, PostScript among them


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
    with reading("image", raw, Image.Image) as file:
        try:
            opened = file if isinstance(file, Image.Image) else Image.open(file, formats=FORMATS)
        except UnidentifiedImageError as error:  # its own text holds a memory address
            raise DataError(f"cannot read the image ({named(raw)}): none of {', '.join(FORMATS)}") from error
        except Image.DecompressionBombError as error:
            raise DataError(f"image of far more than the {MAX_PIXELS:,} pixels that are read") from error
        _check_size(opened.width, opened.height)
        upright = ImageOps.exif_transpose(opened)
        if upright.mode == "F" or upright.mode.startswith("I"):  # pillow cuts 16 bits off at 255: all white
            upright = Image.fromarray(_pixels(_shrunk(np.asarray(upright))))
        return upright.convert(mode)


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


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise DataError(f"image of {width} x {height} pixels; at most {MAX_PIXELS:,} are read")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise DataError(f"image of {width} x {height} pixels; sides of up to {MAX_ASPECT} to 1 are read")


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
