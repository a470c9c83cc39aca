"""What a teacher gives for the rows of a training: computed once, kept in files, added to the rows."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.utils import send_to_device
from torch.utils.data import Dataset

from fusion.batch import Source, Stream
from fusion.data.collate import Collator
from fusion.data.loader import Loaded, Reader, Steps, load
from fusion.data.order import Ints, Slots
from fusion.training.checkpoint import sha256
from fusion.transfer.taught import Taught, held, lay_out, write
from fusion.transfer.teacher import OUTPUT, Teacher

Files = dict[str, dict[str, Path]]  # by source and output


class Outputs:
    """The files of a teacher's outputs for the rows that `count` steps hold: `folder`/SOURCE/OUTPUT.npy.

    `sources` tells what the sources are, so that the files of others are not taken for them.
    """

    def __init__(
        self, folder: Path, teacher: Teacher, steps: Steps, count: int, sources: Mapping[str, Any]
    ) -> None:
        self.folder, self.teacher, self.steps = folder, teacher, steps
        self.stage = folder.with_name(f".{folder.name}.partial")
        self.rows = [steps.order.rows(number, count) for number in range(len(steps.reader.names))]
        self.key = {
            "sha256": teacher.origin["sha256"],
            "outputs": {key: list(shape) for key, shape in teacher.wanted.items()},
            "sources": {
                name: {"rows": int(length), "read": len(rows), "is": sources[name]}
                for name, length, rows in zip(steps.reader.names, steps.order.lengths, self.rows, strict=True)
            },
        }

    @property
    def bytes(self) -> int:
        width = sum(int(np.prod(shape)) for shape in self.teacher.wanted.values())
        return 4 * width * sum(map(len, self.rows))

    def fault(self) -> str | None:
        """Return why the files are not those that are wanted; "" if there are none, None if they are."""
        try:
            record = json.loads((self.folder / "manifest.json").read_text("utf-8"))
            if record["key"] != self.key:
                return "is of another teacher or other rows"
            wrong = [name for name, digest in record["files"].items() if sha256(self.folder / name) != digest]
        except FileNotFoundError:
            return "lacks files" if self.folder.exists() else ""
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"is damaged: {error}"
        return f"is damaged: {', '.join(wrong)}" if wrong else None

    def lay_out(self) -> None:
        """Make files without any output beside the place where they will be."""
        shutil.rmtree(self.stage, ignore_errors=True)
        for number, files in enumerate(self._paths(self.stage).values()):
            for key, path in files.items():
                lay_out(path, (len(self.rows[number]), *self.teacher.wanted[key]))

    def compute(self, batch: int, workers: int, device: Any) -> None:
        """Let the teacher go over the rows, and write this rank's part; all ranks call it."""
        reader = Reader(
            dict(zip(self.steps.reader.names, self.steps.reader.sources, strict=True)),
            Collator(self.teacher.processors, {}),
        )
        parts = _Parts(reader, self.rows, batch, self.steps.rank, self.steps.ranks)
        self.teacher.model.to(device)
        files = list(self._paths(self.stage).values())
        for loaded in load(parts, range(len(parts)), workers):
            outputs = self.teacher(send_to_device(loaded.batch, device, non_blocking=True))
            source, row = (place.numpy() for place in (loaded.batch.source, loaded.batch.row))
            first = np.concatenate([[True], row[1:] != row[:-1]])  # of a sample with choices, the first
            place = np.searchsorted(self.rows[source[0]], row[first])
            for key, values in outputs.items():
                write(files[source[0]][key], place, values.numpy()[first])

    def finish(self) -> None:
        """Put the files in their place, with what they are and the SHA-256 of each."""
        paths = self._paths(self.stage)
        known = {name: max(map(held, files.values())) for name, files in paths.items()}
        digests = {
            str(path.relative_to(self.stage)): sha256(path)
            for files in paths.values()
            for path in files.values()
        }
        record = {"key": self.key, "known": known, "files": digests}
        (self.stage / "manifest.json").write_text(json.dumps(record, indent=1), "utf-8")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.stage.rename(self.folder)

    @property
    def known(self) -> dict[str, int]:
        """For how many rows of each source there is an output."""
        record = json.loads((self.folder / "manifest.json").read_text("utf-8"))
        return record["known"]  # type: ignore[no-any-return]

    def taught(self) -> Steps:
        """Return the steps with sources whose rows hold the outputs."""
        reader = self.steps.reader
        sources: dict[str, Source | Stream] = {}
        files = self._paths(self.folder)
        for name, source, rows in zip(reader.names, reader.sources, self.rows, strict=True):
            assert not isinstance(source, Stream)
            sources[name] = Taught(source, rows, files[name])
        taught = Reader(sources, reader.collator, reader.draw)
        return Steps(taught, self.steps.order, self.steps.rank, self.steps.ranks, self.steps.micro)

    def _paths(self, folder: Path) -> Files:
        # numbered, since a source may be called `..`
        return {
            name: {
                key: folder / f"{number}-{name}" / f"{key.removeprefix(OUTPUT)}.npy"
                for key in self.teacher.wanted
            }
            for number, name in enumerate(self.steps.reader.names)
        }


class _Parts(Dataset[Loaded]):
    """The given rows of each source, in batches of one source; rank r of n takes every n-th batch."""

    def __init__(self, reader: Reader, rows: list[Ints], batch: int, rank: int, ranks: int) -> None:
        self.reader = reader
        parts = [
            (number, some[start : start + batch])
            for number, some in enumerate(rows)
            for start in range(0, len(some), batch)
        ]
        self.parts = parts[rank::ranks]

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int) -> Loaded:
        number, row = self.parts[index]
        return self.reader(Slots(np.full_like(row, number), row, np.zeros_like(row)))
