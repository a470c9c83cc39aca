"""Turn a raw sample into something that a page can show, by its type alone."""

import base64
import io
import os
import reprlib
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
import numpy.typing as npt

from fusion.data import decode
from fusion.errors import DataError

LARGEST, SMALLEST = 128, 64  # pixels of a thumbnail's longer side
SECONDS, RATE = 5.0, 16_000  # of a sound; more would make a page of hundreds of samples heavy
CHARACTERS, POINTS, CHANNELS = 200, 100, 8


class Described(TypedDict):
    """What `fusion.report.files.Media` reads."""

    kind: Literal["image", "audio", "text", "series", "other"]
    data: str | list[list[float | None]]


def describe(raw: Any) -> Described:
    """Return a sample as data that JSON can hold; one that cannot be shown is told in a few words.

    str and Path are texts; bytes are an image or else a sound; a pair (waveform, rate) is a sound; PIL
    images, arrays of uint8 and (h, w, 3|4) arrays of floats are images; other arrays of floats, (time,)
    or (time, channels), are series.
    """
    from PIL.Image import Image

    match raw:
        case str() | Path():
            return {"kind": "text", "data": _cut(str(raw), CHARACTERS)}
        case bytes():
            return _image(raw) or _sound(raw, RATE) or _other(raw)
        case Image():
            return _image(raw) or _other(raw)
        case (np.ndarray(), int() | float() | np.integer() as rate):
            return _sound((raw[0], int(rate)), min(int(rate), RATE)) or _other(raw)
        case np.ndarray() if raw.size and np.issubdtype(raw.dtype, np.floating) and raw.ndim in (1, 2):
            return _series(raw)
        case np.ndarray() if raw.size:
            return _image(raw) or _other(raw)
        case _:
            return _other(raw)


def describe_file(raw: Any) -> Described:
    """Return a sample as data; one that is the name of a file is the picture or the sound that is in it."""
    if isinstance(raw, str | Path) and os.path.isfile(raw):  # Path.is_file raises on a long text
        held = describe(Path(raw).read_bytes())
        if held["kind"] != "other":
            return held
    return describe(raw)


def _image(raw: Any) -> Described | None:
    from PIL.Image import Resampling

    try:
        picture = decode.image(raw)
    except DataError:
        return None
    longer = max(picture.size)
    shrunk = longer > LARGEST
    if shrunk:
        picture.thumbnail((LARGEST, LARGEST))
    elif longer < SMALLEST:
        times = -(-SMALLEST // longer)
        picture = picture.resize((picture.width * times, picture.height * times), Resampling.NEAREST)
    file = io.BytesIO()
    # a photograph made small is a JPEG; what is shown pixel by pixel stays exact
    picture.save(file, **({"format": "JPEG", "quality": 85} if shrunk else {"format": "PNG"}))
    return {"kind": "image", "data": uri("image/jpeg" if shrunk else "image/png", file.getvalue())}


def _sound(raw: Any, rate: int) -> Described | None:
    import soundfile

    try:
        wave = decode.audio(raw, rate, SECONDS)
    except DataError:
        return None
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format="WAV", subtype="PCM_16")
    return {"kind": "audio", "data": uri("audio/wav", file.getvalue())}


def _series(array: npt.NDArray[np.floating[Any]]) -> Described:
    channels = array.reshape(len(array), -1).T[:CHANNELS].astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):  # a stretch with NaN or both infinities has no mean
        pieces = np.array_split(channels, min(POINTS, channels.shape[1]), axis=1)
        means = np.stack([piece.mean(axis=1) for piece in pieces], axis=1)
    return {
        "kind": "series",
        "data": [[float(f"{v:.4g}") if np.isfinite(v) else None for v in channel] for channel in means],
    }


def _other(raw: Any) -> Described:
    if isinstance(raw, bytes):
        return {"kind": "other", "data": f"{len(raw):,} bytes"}
    if isinstance(raw, np.ndarray):
        return {"kind": "other", "data": f"array {raw.shape} of {raw.dtype}"}
    return {"kind": "other", "data": _cut(reprlib.repr(raw), 80)}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def uri(kind: str, content: bytes) -> str:
    """Return content as an address that holds it, for a page that needs no other file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
