"""Convert files to Arrow once, into the cache of `datasets`, and map them into memory from there."""

import hashlib
import os
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

import datasets
import pyarrow as pa
from filelock import FileLock

LAYOUT = 2  # of what is written; another one makes other files
ROWS = 1000  # of one record batch


def stamp(paths: Iterable[str]) -> list[tuple[str, int, int]]:
    """Return what tells a version of files from another: paths, sizes and times."""
    return [(path, stat.st_size, stat.st_mtime_ns) for path in paths for stat in [os.stat(path)]]


def checked(table: pa.Table, files: list[tuple[str, int, int]]) -> pa.Table:
    """Return a table of Arrow files when it is whole, which is found out once for each version of them.

    Arrow trusts them, and one whose offsets point elsewhere would end the process. Raises pa.ArrowInvalid.
    """
    mark = _folder() / f"{_name(('whole', files))}.whole"
    if not mark.exists():
        table.validate(full=True)
        mark.touch()
    return table


def mapped(key: object, make: Callable[[], pa.Table]) -> datasets.Dataset:
    """Return the table that `make` returns from memory-mapped Arrow; it is called once for each `key`.

    `key` says all that the table depends on. The processes of one machine wait for the first of them.
    """
    name, folder = _name(key), _folder()
    path = folder / f"{name}.arrow"
    with FileLock(folder / f"{name}.lock"):
        if not path.exists():
            table = make()
            draft = folder / f"{name}.{uuid.uuid4().hex}.part"
            try:
                with pa.OSFile(str(draft), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
                    writer.write_table(table, max_chunksize=ROWS)
                os.replace(draft, path)
            finally:
                draft.unlink(missing_ok=True)
    return datasets.Dataset.from_file(str(path))


def _name(key: object) -> str:
    return hashlib.blake2b(repr((LAYOUT, key)).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _folder() -> Path:
    folder = Path(datasets.config.HF_DATASETS_CACHE) / "fusion"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
