"""Draw what an encoder was given, and over it what speaks for an answer, in red, and against it, in blue."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from fusion.report.media import uri

Array = npt.NDArray[np.floating[Any]]

FOR, AGAINST = (214.0, 39.0, 40.0), (31.0, 90.0, 200.0)  # red, green, blue
STRONG = 0.85  # how much of a colour covers what is beneath it
SHARE = 0.995  # of the parts that are drawn to scale; a few that are larger would hide all others
LEAST = 256  # pixels of the longer side
COLUMNS, HIGH = 256, 72  # of a waveform


def overlay(given: Array, values: Array, sound: bool) -> tuple[str, str]:
    """Return two pictures for a page: what was given, and the same with `values`, of its shape, over it.

    Series, (samples,), are drawn as waveforms; (channels, height, width), whichever axis the channels are, as
    grey images; all else as a map of its last two axes. A map of `sound` lies with its longer axis, time,
    across and low frequencies below.
    """
    if given.ndim == 1:
        grey, over = _waveform(given, values)
    else:
        grey, over = _plane(given, np.mean), _plane(values, np.sum)
        if sound:
            grey, over = (
                np.flipud(part.T if part.shape[0] > part.shape[1] else part) for part in (grey, over)
            )
        grey = _stretched(grey)
    plain = np.repeat(grey[..., None], 3, axis=-1)
    strength = (STRONG * scaled(over))[..., None]
    colour = np.where(over[..., None] > 0, FOR, AGAINST)
    return _picture(plain), _picture(plain * (1 - np.abs(strength)) + colour * np.abs(strength))


def scaled(values: Array) -> Array:
    """Return values from -1 to 1, by the largest but for a few; zeros where all are."""
    limit = float(np.quantile(np.abs(values), SHARE)) or float(np.abs(values).max())
    return np.clip(values / limit, -1, 1) if limit else np.zeros_like(values)


def _plane(array: Array, gather: Any) -> Array:
    """Return (height, width): the channels of an image gathered, and the leading axes of anything else."""
    while array.ndim > 2:
        last = array.ndim == 3 and array.shape[-1] <= 4 < array.shape[0]
        array = gather(array, axis=-1 if last else 0)
    return array


def _waveform(given: Array, values: Array) -> tuple[Array, Array]:
    columns = min(COLUMNS, len(given))
    loud = np.array([np.abs(part).max() for part in np.array_split(given, columns)])
    total = np.array([part.sum() for part in np.array_split(values, columns)])
    height = np.abs(np.linspace(-1, 1, HIGH))[:, None]
    drawn = height <= loud / (loud.max() or 1)  # (HIGH, columns)
    return np.where(drawn, 90.0, 245.0), np.broadcast_to(total, drawn.shape)


def _stretched(array: Array) -> Array:
    low, high = float(array.min()), float(array.max())
    return (array - low) / ((high - low) or 1) * 255


def _picture(pixels: Array) -> str:
    from PIL import Image

    picture = Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))
    times = max(1, -(-LEAST // max(picture.size)))
    picture = picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    file = io.BytesIO()
    picture.save(file, format="PNG")
    return uri("image/png", file.getvalue())
