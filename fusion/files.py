"""Files that are on the disk, and what tells that they are what was written."""

import errno
import fcntl
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def fsync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def alone(folder: Path, seconds: float = 0.0) -> Iterator[None]:
    """Keep a folder from other processes of this machine that want it alone, too.

    One that has it is waited for so long. Raises BlockingIOError where it still has it.
    """
    limit = time.monotonic() + seconds
    handle = os.open(folder, os.O_RDONLY)
    try:
        while not _locked(handle, time.monotonic() >= limit):
            time.sleep(0.1)
        yield
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits. Raises OSError, also for a device or a pipe."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # which would be waited for, or never end
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_bytes(content: Mapping[str, Any] | Sequence[Any]) -> bytes:
    """Return a JSON text, in UTF-8."""
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace")  # a file's name may hold what is not Unicode


def parse_json(text: str | bytes) -> Any:
    """Return what a JSON text holds. Raises ValueError, also where it is nested too deep."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _locked(handle: int, last: bool) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if last:
            raise
        return False
    return True
