"""Find the entries that a training wants, and fill those that are not there or not whole."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from fusion.cache.columns import Blocks
from fusion.cache.entry import Entry
from fusion.cache.folder import Folder, size
from fusion.cache.kept import Held
from fusion.cache.key import name_of
from fusion.cache.machine import Machine
from fusion.cache.parts import Part
from fusion.cache.wanted import Wanted
from fusion.data.loader import load

TRIED = 8
"""Rows by which the size of an entry is told, and unreadable ones that are tried once more."""

QUIET = 30.0
"""Seconds between two words on how far it is."""


class Filler:
    """Fills entries of a folder, all processes of a machine together; `say` and `warn` tell what it does."""

    def __init__(
        self,
        folder: Folder,
        machine: Machine,
        batch: int,
        workers: int,
        say: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self.folder, self.machine, self.batch, self.workers = folder, machine, batch, workers
        self.say, self.warn = say, warn

    def entries(self, wanted: Sequence[Wanted]) -> list[tuple[Wanted, Entry | str]]:
        """Return what is wanted with its entry, held; or with why it is not kept.

        Raises what reading the rows and encoding them raises.
        """
        found: dict[int, Entry | str] = dict(enumerate(self._find(wanted)))
        for number in dict.fromkeys(one.number for one in wanted):
            missing = [place for place, one in enumerate(wanted) if one.number == number and not found[place]]
            made = self._fill([wanted[place] for place in missing])  # another machine may lack some
            found |= zip(missing, made, strict=True)
        return [(one, found[place]) for place, one in enumerate(wanted)]

    def _find(self, wanted: Sequence[Wanted]) -> list[Entry | str]:
        """Return the entries that are there and whole, or ""; what is not whole is told and deleted."""
        entries = [self.folder.entry(name_of(one.key)) for one in wanted]
        faults = [self._fault(*pair) for pair in zip(entries, wanted, strict=True)]
        found: list[Entry | str] = []
        for entry, one, *told in zip(entries, wanted, *self.machine.gather(faults), strict=True):
            fault = next((fault for fault in told if fault is not None), None)
            if fault and self.machine.main:
                self.warn(f"{one.title}: {entry.folder} {fault}; it is computed anew")
                entry.remove(damaged=True)
            found.append(entry if fault is None else "")
        return found

    def _fill(self, wanted: Sequence[Wanted]) -> list[Entry | str]:
        """Compute entries about the rows of a source in one go over them."""
        stages: list[Entry | str] = []
        promised = 0
        try:
            for one in wanted if self.machine.main else ():
                stage, promised = self._stage(one, promised)
                stages.append(stage)
            places: list[Path | str] = [one if isinstance(one, str) else one.folder for one in stages]
            [places, *_] = self.machine.gather(places)
            written = self.machine.gather(self._write(wanted, places))
            ends = [
                self._finish(one, stage, [part[number] for part in written])
                for number, (one, stage) in enumerate(zip(wanted, stages, strict=False))
            ]
            [ends, *_] = self.machine.gather(ends)
        finally:
            for stage in stages:
                if isinstance(stage, Entry):
                    stage.remove(damaged=True)
        return [self._held(one, end) for one, end in zip(wanted, ends, strict=True)]

    def _fault(self, entry: Entry, one: Wanted) -> str | None:
        """Return what is wrong with this process's part of an entry; "" if it is not there."""
        try:
            if not entry.hold():
                return ""
        except OSError:  # nothing can be kept there either, which `_stage` will tell
            return ""
        try:
            if entry.record["key"] != json.loads(json.dumps(one.key)):
                return "is of something else"
        except (OSError, ValueError) as error:
            return f"is damaged: {error}"
        fault = entry.fault(self.machine.part, self.machine.parts)
        if fault is None and self.machine.main and self._can_read_more(entry, one):
            return "lacks rows that can be read now"
        return fault

    def _can_read_more(self, entry: Entry, one: Wanted) -> bool:
        held = Held(entry, one.rows, len(one.source))
        blocks = Blocks(one.name, one.source, one.rows[held.faulty[:TRIED]], [one.content.column], 1)
        return any(read.whole for number in range(len(blocks)) for read in blocks[number])

    def _stage(self, one: Wanted, promised: int) -> tuple[Entry | str, int]:
        """Return where an entry is written, or why it has no room, and the bytes promised until now."""
        try:
            some = np.linspace(0, len(one.rows) - 1, TRIED).astype(np.int64)
            blocks = Blocks(one.name, one.source, one.rows[some], [one.content.column], TRIED)
            with TemporaryDirectory() as place:
                [read] = blocks[0]
                wanted = int(len(one.rows) * one.content.bytes(Part(Path(place), 0), read))
            room = self.folder.make_room(promised + wanted)
            if not room.given:
                also = f" beside {size(promised)}" if promised else ""
                return f"it needs {size(wanted)}{also}, {room.reason}", promised
            return self.folder.stage(name_of(one.key)), promised + wanted
        except OSError as error:
            return str(error), promised

    def _write(self, wanted: Sequence[Wanted], places: Sequence[Path | str]) -> list[dict[str, str] | str]:
        """Write this process's part; return the files of each entry with their SHA-256, or why not."""
        parts = [None if isinstance(place, str) else Part(place, self.machine.part) for place in places]
        chosen = [(one, part) for one, part in zip(wanted, parts, strict=True) if part is not None]
        if not chosen:
            return ["" for _ in wanted]
        first, _ = chosen[0]
        columns = [one.content.column for one, _ in chosen]
        split = self.batch, self.machine.part, self.machine.parts
        blocks = Blocks(first.name, first.source, first.rows, columns, *split)
        self.say(f"{', '.join(one.title for one, _ in chosen)}: {len(first.rows):,} rows are computed once")
        told = time.monotonic()
        try:
            for number, read in enumerate(load(blocks, range(len(blocks)), self.workers)):
                for (one, part), values in zip(chosen, read, strict=True):
                    one.content.write(part, values)
                if time.monotonic() > told + QUIET:
                    told = time.monotonic()
                    self.say(f"{first.name}: {100 * (number + 1) // len(blocks)} % of the rows are computed")
            return ["" if part is None else part.close() for part in parts]
        except OSError as error:
            return [str(error) for _ in parts]

    def _finish(self, one: Wanted, stage: Entry | str, written: Sequence[dict[str, str] | str]) -> str:
        """Put an entry in its place, on the main process; return why not."""
        if isinstance(stage, str):
            return stage
        faults = [part for part in written if isinstance(part, str)]
        if faults:
            return faults[0]
        files = {name: digest for part in written if isinstance(part, dict) for name, digest in part.items()}
        try:
            stage.finish(name_of(one.key), one.key, len(one.rows), files)
        except OSError as error:
            return str(error)
        return ""

    def _held(self, one: Wanted, fault: str) -> Entry | str:
        entry = self.folder.entry(name_of(one.key))
        if not fault and not entry.hold():
            fault = "another process deleted it"
        return fault or entry
