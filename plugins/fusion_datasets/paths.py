"""Keep the paths that stand in tables inside the folders that they may name."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePath

from fusion import DataError


def relative(folder: str, name: str) -> Path:
    """Return the file `name` of a folder. Raises DataError when it is, or may be, outside.

    `folder` is a real path, without links. A link inside it that leads out is refused, too.
    """
    if os.path.isabs(name):
        raise DataError(
            f"the path {name[:200]!r} is absolute; a table names files relative to {folder!r}, or to the "
            "folder: that columns gives"
        )
    return inside([folder], os.path.join(folder, _plain(name)))


def inside(folders: Sequence[str], path: str) -> Path:
    """Return a path that lies in one of the folders, which are real paths. Raises DataError otherwise."""
    real = os.path.realpath(_plain(path))
    if not any(real.startswith(os.path.join(folder, "")) for folder in folders):
        raise DataError(
            f"the path {path[:200]!r} leads out of {' and '.join(map(repr, folders)) or 'the data'}"
        )
    return Path(real)


def _plain(path: str) -> str:
    if "://" in path:
        raise DataError(f"the path {path[:200]!r} is a URL; only files are read: download it first")
    if "\0" in path or ".." in PurePath(path).parts:
        raise DataError(f"the path {path[:200]!r} is refused: it holds '..' or a null character")
    return path
