"""Find out what `data` names: a file, a glob, a folder or a data set of the Hugging Face hub."""

import glob
import os
import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import Literal, NamedTuple, get_args

from fusion import DataError
from fusion_datasets.words import listed

Format = Literal["auto", "parquet", "csv", "json", "arrow", "images", "sounds", "webdataset", "npz", "hub"]

SUFFIXES = {
    "parquet": (".parquet", ".pq"),
    "csv": (".csv", ".tsv"),
    "json": (".jsonl", ".ndjson", ".json"),
    "arrow": (".arrow",),
    "images": (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"),
    "sounds": (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff"),
    "webdataset": (".tar",),
    "npz": (".npz",),
}
MEDIA = ("images", "sounds")
METADATA = tuple(f"metadata{suffix}" for suffix in (".csv", ".jsonl", ".parquet"))  # beside media files
SAVED = ("state.json", "dataset_dict.json")  # what `save_to_disk` leaves in a folder
SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


class Place(NamedTuple):
    """What there is to be read: its format, the folder that it lies in, and its files by split."""

    given: str
    format: str
    folder: str  # "" for a data set of the hub that is not one here
    splits: dict[str, list[str]]  # relative to the folder; empty where the format keeps its own splits


def find(data: str, format: str) -> Place:
    """Return what `data` names. Raises DataError when it is not there, or when its format is not clear."""
    if format not in get_args(Format):
        raise DataError(f"format is {format!r}; allowed: {', '.join(get_args(Format))}")
    path = expand(data)
    if format == "hub":
        return Place(path, "hub", os.path.abspath(path) if os.path.isdir(path) else "", {})
    if os.path.isfile(path):
        folder, name = os.path.split(os.path.abspath(path))
        return Place(path, _format([name], format, path), folder, {"train": [name]})
    if os.path.isdir(path):
        return _folder(path, format)
    if glob.has_magic(path):
        return _matching(path, format)
    owner, _, name = path.partition("/")
    misspelt = name and os.path.isdir(owner)  # a folder that is here, not the owner of a data set
    if format == "auto" and HUB_ID.fullmatch(path) and not _format_of(path) and not misspelt:
        return Place(path, "hub", "", {})
    raise DataError(
        f"there is no file or folder {path!r}; give a path, a glob, or the id of a data set of the hub, "
        "with format: hub where a folder has its owner's name"
    )


def expand(path: str) -> str:
    """Fill in `~` and environment variables. Raises DataError for a variable that is not set."""
    full = os.path.expanduser(os.path.expandvars(path))
    left = re.search(r"\$(\w+)|\$\{(\w+)\}", full)
    if left and not os.path.exists(full):
        name = left[1] or left[2]
        raise DataError(
            f"{path!r} uses the environment variable {name}, which is not set; set it to the folder that "
            f"holds the data: export {name}=/path/to/data"
        )
    return full


def _folder(path: str, format: str) -> Place:
    folder = os.path.abspath(path)
    if format in ("auto", "arrow") and any(os.path.isfile(os.path.join(folder, name)) for name in SAVED):
        return Place(path, "arrow", folder, {})
    files = walk(folder)
    kind = _format(files, format, path)
    if kind in MEDIA:
        files = [name for name in files if _format_of(name) == kind or os.path.basename(name) in METADATA]
    else:
        files = [name for name in files if _format_of(name) == kind]
    if not files:
        raise DataError(f"{path!r} holds no file of the format {kind} ({', '.join(SUFFIXES[kind])})")
    return Place(path, kind, folder, _by_split(files, kind))


def _matching(path: str, format: str) -> Place:
    files = sorted(name for name in glob.glob(path, recursive=True) if os.path.isfile(name))
    if not files:
        raise DataError(f"no file matches {path!r}")
    kind = _format(files, format, path)
    parts = PurePath(os.path.abspath(path)).parts
    fixed = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    folder = str(PurePath(*parts[:fixed]))
    return Place(path, kind, folder, {"train": [os.path.relpath(name, folder) for name in files]})


def walk(folder: str) -> list[str]:
    """Return the files below a folder, relative to it, in order; hidden ones and linked folders are left."""
    files = []
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        start = "" if here == folder else os.path.relpath(here, folder) + os.sep
        files += [start + name for name in names if not name.startswith(".")]
    return sorted(files)


def _format_of(name: str) -> str | None:
    suffix = os.path.splitext(name)[1].lower()
    return next((kind for kind, suffixes in SUFFIXES.items() if suffix in suffixes), None)


def _format(files: Iterable[str], given: str, path: str) -> str:
    """Return the format of all files. A table of metadata counts only where there is nothing else."""
    if given != "auto":
        return given
    kinds: dict[str, bool] = {}  # whether there is more of it than metadata
    for name in files:
        kind = _format_of(name)
        if kind is not None:
            kinds[kind] = kinds.get(kind, False) or os.path.basename(name) not in METADATA
    found = sorted(kind for kind in kinds if kinds[kind]) or sorted(kinds)
    if len(found) == 1:
        return found[0]
    if not found:
        known = [suffix for suffixes in SUFFIXES.values() for suffix in suffixes]
        raise DataError(
            f"{path!r} holds no file that is read (unpack what is zipped, save a spreadsheet as csv); "
            f"suffixes that are: {', '.join(known)}"
        )
    raise DataError(f"{path!r} holds files of several formats; choose one with format: {' or '.join(found)}")


def _by_split(files: list[str], kind: str) -> dict[str, list[str]]:
    """Sort files by the split in their names; where none names one, all are of the split train.

    Of media only the uppermost folder counts, so that a class or a file may be called `test`.
    """
    splits: dict[str, list[str]] = {}
    for name in files:
        first, below, _ = name.lower().partition(os.sep)
        words = re.findall("[a-z]+", name.lower()) if kind not in MEDIA else [first] if below else []
        split = next((SPLITS[word] for word in words if word in SPLITS), "")
        splits.setdefault(split, []).append(name)
    if splits.keys() == {""}:
        return {"train": files}
    if "" in splits:
        raise DataError(
            f"some files name a split and others do not: {listed(splits[''])}; choose files with a glob"
        )
    return splits
