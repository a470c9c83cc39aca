"""The folder of the cache: where it is, how large it may become, and what is in it."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from fusion.cache.entry import Entry
from fusion.errors import RunError

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


class Room(NamedTuple):
    """Whether something has room, and why it has none."""

    given: bool
    reason: str = ""


class Folder:
    """The cache under `path`: one folder for each entry, named by its key.

    Beside `limit` bytes there is no room: the entry that was not used for longest goes first, and never one
    that a training uses.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path, self.limit = path, limit

    @classmethod
    def found(cls) -> "Folder":
        """Return the one that FUSION_CACHE and FUSION_CACHE_LIMIT name. Raises RunError for no such limit."""
        home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "fusion" / "features"
        place = Path(os.environ.get("FUSION_CACHE") or home).expanduser()
        given = os.environ.get("FUSION_CACHE_LIMIT") or "50 GB"
        match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?)B?", given.strip(), re.IGNORECASE)
        if match is None:
            raise RunError(f"FUSION_CACHE_LIMIT is {given!r}; write it as a size, such as 50 GB or 500 MB")
        return cls(place, int(float(match[1]) * UNITS[match[2].upper()]))

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries, the one that was used last first."""
        whole = [Entry(path) for path in self.path.glob("[!.]*") if path.is_dir()]
        return iter(sorted(whole, key=lambda entry: (-entry.used, entry.name)))

    def entry(self, name: str) -> Entry:
        return Entry(self.path / name)

    def stage(self, name: str) -> Entry:
        """Make the folder in which an entry is written, beside its place."""
        for leftover in self.path.glob(".*"):  # of a training that was killed while it wrote
            Entry(leftover).remove()
        stage = Entry(self.path / f".{name}.{uuid4().hex[:8]}")
        stage.make()
        return stage

    def make_room(self, wanted: int) -> Room:
        """Delete entries until there is room for so many bytes, within the limit and on the disk."""
        if wanted > self.limit:
            return Room(False, f"more than the {size(self.limit)} that FUSION_CACHE_LIMIT allows")
        self.path.mkdir(parents=True, exist_ok=True)
        entries = list(self)
        sizes = {entry: entry.bytes for entry in entries}
        while True:
            free = shutil.disk_usage(self.path).free
            if sum(sizes.values()) + wanted <= self.limit and wanted <= free:
                return Room(True)
            gone = next((entry for entry in reversed(entries) if entry.remove()), None)
            if gone is None:
                break
            entries.remove(gone)
            del sizes[gone]
        if wanted > free:
            return Room(False, f"and {self.path} has {size(free)} left")
        return Room(False, f"and other trainings use what fills the {size(self.limit)} of the cache")


def size(count: float) -> str:
    """Return bytes as people say them: "12.3 MB"."""
    unit = next(unit for unit in ("T", "G", "M", "K", "") if count >= UNITS[unit] or not unit)
    return f"{count / UNITS[unit]:.1f} {unit}B" if unit else f"{count:.0f} bytes"
