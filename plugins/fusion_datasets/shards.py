"""Index the tar shards of a WebDataset: text is read, media stay where they are and are read on demand.

Files that share their path up to the first point of the name are one sample; what follows the point is the
column. Nothing is unpacked to disk, and nothing is unpickled.
"""

import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import PurePosixPath
from typing import IO, Any, NamedTuple

import pyarrow as pa

from fusion import DataError

TEXTS = ("txt", "text", "caption", "transcript")
NUMBERS = ("cls",)
OBJECTS = ("json",)
READ = (*TEXTS, *NUMBERS, *OBJECTS)
MAX_TEXT = 64 * 2**20  # bytes of one text or object; a billion spaces compress to nothing
BATCH = 10_000  # samples that are held as Python objects


class Span(NamedTuple):
    """Where a file lies inside a shard: the number of the shard, the first byte, and how many."""

    shard: int
    offset: int
    size: int


SPAN = pa.struct([("shard", pa.int32()), ("offset", pa.int64()), ("size", pa.int64())])


def index(shards: Sequence[str]) -> pa.Table:
    """Return a row for each sample of the shards, in order. Raises DataError for a shard that is damaged."""
    samples = (sample for number, path in enumerate(shards) for sample in _samples(path, number))
    tables = []
    while batch := list(islice(samples, BATCH)):
        tables.append(table(batch))
    if not tables:
        raise DataError(f"no sample in {', '.join(shards)}")
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(f"the samples do not have the same types: {error}") from error


def read(path: str, offset: int, size: int) -> bytes:
    """Return the bytes of one file in a shard."""
    with open(path, "rb") as file:
        file.seek(offset)
        content = file.read(size)
    if len(content) < size:
        raise DataError(f"the shard {path!r} ends before the file at {offset:,}; it has changed")
    return content


def stream(path: str) -> Iterator[dict[str, Any]]:
    """Yield the samples of a shard from first to last, media as bytes."""
    return _samples(path, None)


def _samples(path: str, number: int | None) -> Iterator[dict[str, Any]]:
    """Group the files of a shard; media are spans of shard `number`, or bytes where that is None."""
    key: str | None = None
    sample: dict[str, Any] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if not member.isreg() or member.issparse():
                    continue
                name = PurePosixPath(member.name)
                stem, _, column = name.name.partition(".")
                if not stem or not column:
                    continue
                if str(name.parent / stem) != key:
                    if sample:
                        yield sample
                    key, sample = str(name.parent / stem), {}
                sample[column.lower()] = _content(tar, member, column.lower(), number)
            if tar.offset >= os.path.getsize(path):  # tarfile takes that for the end
                raise tarfile.ReadError("the mark of its end is missing, so it was cut off")
    except (tarfile.TarError, EOFError, ValueError, RecursionError) as error:
        raise DataError(f"the shard {path!r} cannot be read after sample {key!r}: {error}") from error
    if sample:
        yield sample


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, column: str, number: int | None) -> Any:
    kind = _kind(column)
    if member.size < 0:
        raise ValueError(f"{member.name} says that it has {member.size} bytes")
    if kind not in READ:
        if number is not None:
            return Span(number, member.offset_data, member.size)._asdict()
        return _bytes(tar, member)
    if member.size > MAX_TEXT:
        raise ValueError(f"{member.name} has {member.size:,} bytes; at most {MAX_TEXT:,} are read of a text")
    text = _bytes(tar, member).decode()
    if kind in TEXTS:
        return text
    return int(text) if kind in NUMBERS else json.loads(text)


def _kind(column: str) -> str:
    return column.rpartition(".")[2]


def _bytes(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file: IO[bytes] | None = tar.extractfile(member)
    assert file is not None  # a regular file
    return file.read()


def table(samples: Sequence[dict[str, Any]], media: pa.DataType = SPAN) -> pa.Table:
    """Return samples as a table, the cells of its media being of the type `media`. Raises DataError."""
    names = list(dict.fromkeys(name for sample in samples for name in sample))
    columns = {}
    for name in names:
        cells = [sample.get(name) for sample in samples]
        try:
            columns[name] = pa.array(cells, None if _kind(name) in READ else media)
        except (pa.ArrowException, OverflowError) as error:
            raise DataError(
                f"the files {name!r} of the samples do not have the same types: {error}"
            ) from error
    return pa.table(columns)
