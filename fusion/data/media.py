"""Open samples that are paths or the bytes of files, and say in one sentence why they cannot be read."""

import io
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from fusion.errors import DataError, FusionError

T = TypeVar("T")


class Text(str):
    """A text that stays one: unlike another str it is never opened as the path of a file.

    For sources whose rows somebody else has written, such as the table of a download.
    """


@contextmanager
def reading(what: str, raw: Any, *opened: type) -> Iterator[Any]:
    """Yield what a decoder can open; whatever it raises becomes a DataError, and it does not warn."""
    if not isinstance(raw, (str, Path, bytes, *opened)):
        forms = "a path, bytes, " + ("an array or a PIL image" if opened else "or a pair (waveform, rate)")
        raise DataError(f"{what} expected as {forms}, not {type(raw).__name__}")
    if isinstance(raw, Text):
        raise DataError(f"{what} expected, not the text {raw[:100]!r}; its source does not say it is a path")
    if isinstance(raw, bytes) and not raw:
        raise DataError(f"the {what} is empty: 0 bytes")
    if isinstance(raw, str | Path) and not os.path.isfile(raw):  # Path.is_file raises on an overlong name
        raise DataError(f"{'a folder' if os.path.isdir(raw) else 'no such file'}: {named(raw)}")
    if isinstance(raw, str | Path) and not os.path.getsize(raw):
        raise DataError(f"the {what} is empty: {named(raw)} has 0 bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, palettes, odd metadata
            if isinstance(raw, str | Path):
                with open(raw, "rb") as file:  # pillow leaves a file open that may hold more frames
                    yield file
            else:
                yield io.BytesIO(raw) if isinstance(raw, bytes) else raw
    except FusionError:
        raise
    except Exception as error:  # decoders raise dozens of types on a damaged file, ValueError to struct.error
        raise DataError(f"cannot read the {what} ({named(raw)}): {error}") from error


def readable(samples: Iterable[Any], read: Callable[[Any], T]) -> Iterator[T]:
    """Yield what `read` makes of the samples that it can read.

    Raises the DataError of the first where there are samples, and none of them can be read.
    """
    refused, some = None, False
    for raw in samples:
        try:
            found = read(raw)
        except (DataError, OSError) as error:
            refused = refused or error
            continue
        some = True
        yield found
    if refused and not some:
        raise DataError(f"no sample can be read, the first for this reason: {refused}") from refused


def named(raw: Any) -> str:
    if isinstance(raw, str | Path):
        return str(raw)[:200]
    return f"{len(raw):,} bytes" if isinstance(raw, bytes) else type(raw).__name__
