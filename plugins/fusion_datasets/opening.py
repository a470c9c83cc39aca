"""Open one split of what was found, as a table that is memory-mapped and pickled without its data."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import datasets
import pyarrow as pa

from fusion import DataError
from fusion_datasets import cache, folders, hub, paths, shards
from fusion_datasets.arrays import Arrays
from fusion_datasets.nesting import expect_flat
from fusion_datasets.place import MEDIA, Place
from fusion_datasets.values import read_csv
from fusion_datasets.words import cause, unknown


class Held(Protocol):
    """Something small to pickle that gives a table: a `datasets` table, or the arrays of a file."""

    @property
    def table(self) -> pa.Table: ...


class Meaning(NamedTuple):
    """What the columns of a table mean beyond their types."""

    labels: Mapping[str, Sequence[str]] = {}  # the names of the ids in a column
    files: Mapping[str, str] = {}  # columns of file names, by what they are called in the rows
    folder: str = ""  # in which file names start, a real path; "" where there is none
    roots: Sequence[str] = ()  # in which the paths of media have to be, real paths
    shards: Sequence[str] = ()  # the tar files in which spans lie


class Opened(NamedTuple):
    """A split that is open."""

    held: Held
    meaning: Meaning


def open_split(place: Place, split: str, wanted: Sequence[str] | None, hub_options: hub.Options) -> Opened:
    """Open a split; of arrays only those `wanted`. Raises DataError in one sentence for all that fails."""
    with reading_of(place):
        if place.format == "hub":
            builder = hub.builder(place.given, hub_options)
            builder.download_and_prepare()
            return _opened(builder.as_dataset(split=known(split, builder.info.splits)), hub_meaning(place))
        if place.format == "arrow" and not place.splits:
            return _saved(place.folder, split)
        files = place.splits[known(split, place.splits)]
        if place.format in MEDIA:
            return _media(place, split)
        return _tables(place.format, place.folder, files, wanted)


def known(split: str, splits: Mapping[str, Any]) -> str:
    """Return the split. Raises DataError when there is none of this name."""
    if split not in splits:
        raise DataError(unknown("split", split, splits))
    return split


def local_meaning(folder: str) -> Meaning:
    """Return the meaning of tables in a folder."""
    real = os.path.realpath(folder)
    return Meaning(folder=real, roots=(real,))


def hub_meaning(place: Place) -> Meaning:
    """Return the meaning of tables of the hub, whose media lie where the hub's files are kept."""
    return local_meaning(place.folder) if place.folder else Meaning(roots=hub.roots(place.given))


def labels(features: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the columns whose cells are ids, or lists of ids, that have names; nested ones as `a.b`."""
    for name, feature in features.items():
        inner = getattr(feature, "feature", feature)  # of a list
        if isinstance(inner, datasets.ClassLabel):
            yield above + name, tuple(inner.names)
        elif isinstance(feature, dict):
            yield from labels(feature, f"{above}{name}.")


@contextmanager
def reading_of(place: Place) -> Iterator[None]:
    """Let every error say what could not be read."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{place.given!r}: {error}") from error
    except Exception as error:  # of pyarrow, datasets, the hub, and what they ask for
        raise DataError(f"{place.given!r} cannot be read as {place.format}: {cause(error)}") from error


def _opened(data: datasets.Dataset, meaning: Meaning) -> Opened:
    return Opened(data.data, meaning._replace(labels=dict(labels(data.features))))


def _tables(format: str, folder: str, files: Sequence[str], wanted: Sequence[str] | None = None) -> Opened:
    given = [os.path.join(folder, name) for name in files]
    meaning = local_meaning(folder)
    match format:
        case "npz":
            if len(given) > 1:
                raise DataError(f"{len(given)} .npz files; give one of them")
            return Opened(Arrays(given[0], wanted), meaning)
        case "csv":
            data = cache.mapped(("csv", cache.stamp(given)), lambda: read_csv(given))
        case "webdataset":
            data = cache.mapped(("webdataset", cache.stamp(given)), lambda: shards.index(given))
            meaning = meaning._replace(shards=given)
        case "arrow":
            data = datasets.concatenate_datasets([datasets.Dataset.from_file(path) for path in given])
            cache.checked(data.data.table, cache.stamp(given))
        case _:  # parquet and json
            builder = datasets.load_dataset_builder(format, data_files={"train": given})
            if format == "json" and not os.path.isdir(builder.cache_dir):  # not converted yet
                expect_flat(given)
            builder.download_and_prepare()
            data = builder.as_dataset(split="train")
    return _opened(data, meaning)


def _saved(folder: str, split: str) -> Opened:
    for state in Path(folder).glob("**/state.json"):
        for file in json.loads(state.read_text("utf-8"))["_data_files"]:
            paths.relative(os.path.realpath(state.parent), file["filename"])
    found = datasets.load_from_disk(folder, keep_in_memory=False)
    splits = found if isinstance(found, dict) else {"train": found}
    chosen = splits[known(split, splits)]
    cache.checked(chosen.data.table, cache.stamp(file["filename"] for file in chosen.cache_files))
    return _opened(chosen, local_meaning(folder))


def _media(place: Place, split: str) -> Opened:
    files = place.splits[split]
    column = folders.COLUMNS[place.format]
    metadata = folders.metadata(files)
    if metadata is None:
        data = folders.listing(place.format, place.folder, place.splits, split)
        return _opened(data, local_meaning(place.folder)._replace(files={column: column}))
    # a table beside the files names them in its column file_name
    above, name = os.path.split(metadata)
    format = {".csv": "csv", ".jsonl": "json", ".parquet": "parquet"}[os.path.splitext(name)[1]]
    held, meaning = _tables(format, os.path.join(place.folder, above), [name])
    if "file_name" not in held.table.column_names:
        raise DataError(f"{metadata!r} has no column 'file_name', which names the files")
    return Opened(held, meaning._replace(files={column: "file_name"}))
