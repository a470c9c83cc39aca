"""Read some frames of a film, evenly spaced, and no more of it than that takes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion import DataError, RunError, decode
from fusion_video.film import Film, Frames
from fusion_video.index import Index, index

MAX_BYTES = 4 * 2**30
MAX_DECODED = 100_000  # frames of one film
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,flv,ogg,gif,asf,ivf,h264,hevc,mpegvideo,m4v,nut"
)
"""Those that ffmpeg may take a file for: not playlists, which name other files, nor what is made up."""


def frames(raw: Any, count: int) -> Frames:
    """Yield up to `count` frames (h, w, 3): the middles of as many equal parts of a film, all of a short one.

    `raw` is a path, the bytes of a file, or an array (t, h, w, 3), or a Film of one, whose changes may give
    other pictures. A film is decoded from the key frame before each frame that is wanted. Raises DataError
    for what cannot be read, and RunError without PyAV.
    """
    seen = raw if isinstance(raw, Film) else Film(raw)
    read = _frames(seen, count)
    for change in seen.changes:
        read = change(read)
    yield from read


def _frames(film: Film, count: int) -> Iterator[NDArray[np.uint8]]:
    raw = film.raw
    if isinstance(raw, np.ndarray):
        if raw.ndim != 4 or raw.shape[3] not in (1, 3, 4) or not raw.size:
            raise DataError(f"video array of shape {raw.shape}; (t, h, w, 1|3|4) are read")
        yield from (raw[place] for place in film.places(len(raw), count))
        return
    if isinstance(raw, str | Path) and os.path.isfile(raw) and os.path.getsize(raw) > MAX_BYTES:
        raise DataError(f"video of {os.path.getsize(raw):,} bytes; at most {MAX_BYTES:,} are read")
    with decode.reading("video", raw) as file:
        av = _pyav()
        options = {"format_whitelist": FORMATS, "protocol_whitelist": ""}
        with _told(av), av.open(file, options=options, metadata_errors="ignore") as container:
            if not container.streams.video:
                raise DataError("the file has no video, only other streams")
            stream = container.streams.video[0]
            _expect_small(stream.codec_context.width, stream.codec_context.height)
            stream.codec_context.options = {"max_pixels": str(decode.MAX_PIXELS)}
            stream.codec_context.thread_count = 1  # loader workers are as many as there are cores
            known = index(container, stream)
            container.seek(known.start, stream=stream)
            yield from _decoded(container, stream, known, film.places(len(known.times), count))


def _pyav() -> Any:
    try:
        import av
    except ImportError as error:
        raise RunError("films need PyAV: pip install 'fusion-bind[video]'") from error
    return av


@contextmanager
def _told(av: Any) -> Iterator[None]:
    """Say what ffmpeg says without the name of the file, which `decode.reading` adds, and its number."""
    try:
        yield
    except av.error.EOFError as error:
        raise DataError("the video has no frame") from error
    except av.error.FFmpegError as error:
        raise ValueError(error.strerror) from error


def _decoded(container: Any, stream: Any, known: Index, wanted: list[int]) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of these numbers; those between are decoded where no key frame comes in between."""
    due = [known.times[place] for place in wanted]
    film, at, decoded = container.decode(stream), known.start, 0
    for time in due:
        key = known.key_before(time)
        if key > at:
            container.seek(key, stream=stream)
            film = container.decode(stream)
        for frame in film:
            decoded += 1
            if decoded > MAX_DECODED:
                raise DataError(f"more than {MAX_DECODED:,} frames have to be decoded, with few key frames")
            if frame.pts is not None and frame.pts >= time:
                _expect_small(frame.width, frame.height)
                at = frame.pts
                yield frame.to_ndarray(format="rgb24")
                break
        else:
            raise DataError(f"the film ends before its frame {known.times.index(time)}, and is torn")


def _expect_small(width: int, height: int) -> None:
    if width * height > decode.MAX_PIXELS:
        raise DataError(f"video of {width} x {height} pixels; at most {decode.MAX_PIXELS:,} are read")
