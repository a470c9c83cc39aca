"""Parquet files that are whole or not there, each of which says what it was made from."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from fusion.data.collate import BadRow
from fusion.errors import DataError
from fusion.files import fsync

KEY = "fusion"
POLL = 0.2  # s


class Footer(NamedTuple):
    """What a part says of itself: what it was made from, its rows, those that could not be read, and more."""

    made: dict[str, Any]
    rows: int
    bad: list[BadRow]
    told: dict[str, Any] = {}  # noqa: RUF012  nobody writes to it


class Part(NamedTuple):
    """A part that is being written, and the rows of it that cannot be read."""

    writer: pq.ParquetWriter
    bad: list[BadRow]


class Parts:
    """Where the parts of a source go: the one file `out`, or a folder `out` of files that can be resumed.

    Part k holds the rows from k times `each` on, of `rows` in all; `made` is what they are made from.
    """

    def __init__(self, out: Path, rows: int, each: int, made: Mapping[str, Any]) -> None:
        self.out, self.made = out, json.loads(json.dumps(made))
        self.single = out.suffix == ".parquet"
        each = max(rows, 1) if self.single else each
        starts = range(0, max(rows, 1), each)
        self.bounds = [(start, min(start + each, rows)) for start in starts]
        count = len(self.bounds)
        names = [f"part-{number:05}-of-{count:05}.parquet" for number in range(count)]
        self.paths = [out] if self.single else [out / name for name in names]

    def missing(self) -> list[int]:
        """Return the parts that are not whole; of a single file, that file, whatever is there.

        Raises DataError where the folder holds something else.
        """
        if self.single:
            return [0]
        if self.out.exists() and not self.out.is_dir():
            raise DataError(f"{self.out} is a file; give a folder, or a file that ends in .parquet")
        found = sorted(path for path in self.out.glob("*") if not path.name.startswith("."))
        for path in found:
            footer = read(path) if path.suffix == ".parquet" else None
            if footer is None and path not in self.paths:
                raise DataError(f"{path} is no part of an embedding; choose another --out")
            if footer is not None and (footer.made != self.made or path not in self.paths):
                keys = sorted(key for key in self.made if self.made[key] != footer.made.get(key))
                raise DataError(
                    f"{path} was made from something else; what differs: {', '.join(keys)}; choose another "
                    "--out, or remove that one"
                )
        return [number for number, path in enumerate(self.paths) if read(path) is None]

    def footers(self) -> Iterator[Footer]:
        """Yield what each part says of itself, as soon as it is there; other ranks may still write theirs."""
        for path in self.paths:
            while (footer := read(path)) is None:
                time.sleep(POLL)
            yield footer

    @contextmanager
    def write(self, number: int, schema: pa.Schema, **told: Any) -> Iterator["Part"]:
        """Give a part to write tables to; it is there when it is whole, and on the disk.

        `told` is what its metadata say beside what it was made from.
        """
        path = self.paths[number]
        stage = path.with_name(f".{path.name}.partial")
        try:
            if not self.single:
                path.parent.mkdir(parents=True, exist_ok=True)
            with stage.open("wb") as file:
                with pq.ParquetWriter(file, schema) as writer:
                    part = Part(writer, [])
                    yield part
                    said = {**told, "made": self.made, "bad": part.bad}
                    writer.add_key_value_metadata({KEY: json.dumps(said)})
                file.flush()
                os.fsync(file.fileno())
            stage.replace(path)
            fsync(path.parent)
        except OSError as error:
            raise DataError(f"cannot write {path}: {error}") from error
        finally:
            stage.unlink(missing_ok=True)


def read(path: Path) -> Footer | None:
    """Return what a file says of itself; None where it is not there, not whole or of something else."""
    try:
        metadata = pq.read_metadata(path)
        said = json.loads((metadata.metadata or {})[KEY.encode()])
        made, bad = said.pop("made"), [BadRow(*row) for row in said.pop("bad")]
        return Footer(made, metadata.num_rows, bad, said)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None
