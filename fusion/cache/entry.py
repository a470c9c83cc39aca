"""An entry of the cache: arrays in files, whole or not there, with the SHA-256 of each."""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import finalize

from fusion.files import fsync, parse_json, sha256

RECORD, USED = "entry.json", "used"


class Entry:
    """A folder of files. `entry.json` says what they are and which; that it is there says that all are.

    Who uses it holds it, by a shared lock on the file `used`, whose time is that of the last use.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._close: Callable[[], Any] = _nothing

    def __reduce__(self) -> tuple[Any, ...]:  # a process holds it for its workers
        return Entry, (self.folder,)

    @property
    def name(self) -> str:
        return self.folder.name

    @cached_property
    def record(self) -> dict[str, Any]:
        """What is in it: "key", "rows", and "files" with the SHA-256 of each. Raises ValueError, OSError."""
        record = parse_json((self.folder / RECORD).read_text("utf-8"))
        if not (isinstance(record, dict) and record.keys() >= {"key", "rows", "files"}):
            raise ValueError(f"{RECORD} lacks keys")
        if not all(Path(name).name == name for name in record["files"]):
            raise ValueError(f"{RECORD} names files of other folders")
        return record

    @property
    def used(self) -> float:
        """When it was used last, in seconds since 1970."""
        try:
            return (self.folder / USED).stat().st_mtime
        except OSError:
            return 0.0

    @property
    def bytes(self) -> int:
        try:
            return sum(path.stat().st_size for path in self.folder.glob("*"))
        except FileNotFoundError:  # another process deletes it
            return 0

    def parts(self, array: str) -> list[Path]:
        """Return the files of an array, in order."""
        names = [name for name in self.record["files"] if name.rpartition("-")[0] == array]
        return [self.folder / name for name in sorted(names, key=lambda name: int(_number(name)))]

    def make(self) -> None:
        """Make the folder in which it is written, and hold it."""
        self.folder.mkdir(parents=True)
        (self.folder / USED).touch()
        self._lock(fcntl.LOCK_SH)

    def hold(self) -> bool:
        """Keep others from deleting it for as long as this object lives; return whether it is there."""
        if not (self._lock(fcntl.LOCK_SH) and (self.folder / RECORD).is_file()):
            self.release()  # it was deleted before it was held
            return False
        os.utime(self.folder / USED)
        return True

    def release(self) -> None:
        self._close()

    def _lock(self, how: int, create: int = 0) -> bool:
        """Lock the file `used` for as long as this object lives; return whether that could be."""
        try:
            handle = os.open(self.folder / USED, os.O_RDWR | create)
        except FileNotFoundError:
            return False
        self._close = finalize(self, os.close, handle)
        try:
            fcntl.flock(handle, how)
        except BlockingIOError:
            self.release()
            return False
        return True

    def fault(self, part: int = 0, parts: int = 1) -> str | None:
        """Return what is wrong with every `parts`-th file from `part` on, None if they are as written."""
        try:
            files: dict[str, str] = self.record["files"]
            names = sorted(files)[part::parts]
            wrong = [name for name in names if sha256(self.folder / name) != files[name]]
        except (OSError, ValueError, AttributeError, TypeError) as error:
            return f"is damaged: {error}"
        return f"is damaged: {', '.join(wrong)}" if wrong else None

    def finish(self, name: str, key: Any, rows: int, files: Mapping[str, str]) -> None:
        """Put what was written here in its place; what another process has put there meanwhile stays."""
        record = {"key": key, "rows": rows, "created": time.time(), "files": dict(sorted(files.items()))}
        (self.folder / RECORD).write_text(json.dumps(record, indent=1), "utf-8")
        for path in (*self.folder.iterdir(), self.folder):
            fsync(path)
        place = self.folder.with_name(name)
        try:
            self.folder.rename(place)
        except OSError:
            if not place.is_dir():
                raise
            shutil.rmtree(self.folder)
        fsync(place.parent)

    def remove(self, *, damaged: bool = False) -> bool:
        """Delete it and return whether it is gone; one in use stays, unless it is damaged."""
        self.release()
        # a process that was killed may have left it without the file
        if not damaged and not self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB, os.O_CREAT):
            return False
        (self.folder / RECORD).unlink(missing_ok=True)  # from now on it is not there
        shutil.rmtree(self.folder, ignore_errors=True)
        self.release()
        return True


def _nothing() -> None: ...


def _number(name: str) -> str:
    return name.rpartition("-")[2].partition(".")[0]
