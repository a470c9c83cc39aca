"""Turn a raw sample into something that a page can show, by its type alone."""

import base64
import io
import os
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import numpy as np
import numpy.typing as npt

from fusion.data import decode
from fusion.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from fusion.encoder import Processor

LARGEST, SMALLEST = 128, 64  # pixels of a thumbnail's longer side
GAP = 2  # pixels between pictures that are side by side
SECONDS, RATE = 5.0, 16_000  # of a sound; more would make a page of hundreds of samples heavy
CHARACTERS, POINTS, CHANNELS = 200, 100, 8


class Described(TypedDict):
    """What `fusion.report.files.Media` reads."""

    kind: Literal["image", "audio", "text", "series", "other"]
    data: str | list[list[float | None]]


def shown(processor: "Processor", raw: Any) -> Described:
    """Return a sample of a modality as data, as its processor shows it."""
    given = processor.show(raw)
    return describe(given) if "text" in processor.takes else describe_file(given)


def describe(raw: Any) -> Described:
    """Return a sample as data that JSON can hold; one that cannot be shown is told in a few words.

    str and Path are texts; bytes are an image or else a sound; a pair (waveform, rate) is a sound; PIL
    images, arrays of uint8 and (h, w, 3|4) arrays of floats are images, and a list of images is one of all,
    side by side; other arrays of floats, (time,) or (time, channels), are series.
    """
    from PIL.Image import Image

    match raw:
        case str() | Path():
            return {"kind": "text", "data": _cut(str(raw), CHARACTERS)}
        case bytes():
            return _image(raw) or _sound(raw, RATE) or _other(raw)
        case Image():
            return _image(raw) or _other(raw)
        case list() if raw and all(isinstance(one, Image | np.ndarray) for one in raw):
            return _strip(raw) or _other(raw)
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
    if longer > LARGEST:
        picture.thumbnail((LARGEST, LARGEST))
    elif longer < SMALLEST:
        times = -(-SMALLEST // longer)
        picture = picture.resize((picture.width * times, picture.height * times), Resampling.NEAREST)
    return _drawn(picture, exact=longer <= LARGEST)


def _strip(raw: Sequence[Any]) -> Described | None:
    """Return pictures side by side, each as high as the smallest thumbnail."""
    from PIL import Image

    try:
        pictures = [decode.image(one) for one in raw]
    except DataError:
        return None
    small = [one.resize((max(1, round(one.width * SMALLEST / one.height)), SMALLEST)) for one in pictures]
    strip = Image.new("RGB", (sum(one.width + GAP for one in small) - GAP, SMALLEST), "white")
    left = 0
    for one in small:
        strip.paste(one, (left, 0))
        left += one.width + GAP
    return _drawn(strip, exact=False)


def _drawn(picture: "Picture", exact: bool) -> Described:
    """Return a picture as a file: a photograph made small is a JPEG; one shown pixel by pixel stays exact."""
    file = io.BytesIO()
    picture.save(file, **({"format": "PNG"} if exact else {"format": "JPEG", "quality": 85}))
    return {"kind": "image", "data": uri("image/png" if exact else "image/jpeg", file.getvalue())}


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
