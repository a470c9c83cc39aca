"""The shards of a data set that is streamed: each a sequence of tables, read from its start."""

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol

import datasets
import pyarrow as pa

from fusion import DataError
from fusion_datasets import hub, shards
from fusion_datasets.opening import Meaning, hub_meaning, known, labels, local_meaning, reading_of
from fusion_datasets.place import Place
from fusion_datasets.words import cause

BATCH = 64  # rows of one table


class Parts(Protocol):
    """Shards by their number; small to pickle."""

    def __len__(self) -> int: ...

    def tables(self, shard: int) -> Iterator[pa.Table]:
        """Yield the rows of a shard in order. Raises DataError or OSError where it cannot be read."""
        ...


class Files:
    """Shards that the `datasets` library reads."""

    def __init__(self, data: datasets.IterableDataset) -> None:
        self.data = data.with_format("arrow")

    def __len__(self) -> int:
        return int(self.data.num_shards)

    def tables(self, shard: int) -> Iterator[pa.Table]:
        rows = self.data.shard(num_shards=len(self), index=shard)
        try:
            # `iter` and not `__iter__`, which in a loader worker leaves out what it takes for others' shards
            yield from rows.iter(batch_size=BATCH)
        except Exception as error:  # of a decoder, a file or the network, deep in a library
            raise DataError(cause(error)) from error


class Tars:
    """Shards of a WebDataset."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = tuple(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def tables(self, shard: int) -> Iterator[pa.Table]:
        samples = shards.stream(self.paths[shard])
        while batch := list(islice(samples, BATCH)):
            yield shards.table(batch, media=pa.binary())


def open_stream(place: Place, split: str, hub_options: hub.Options) -> tuple[Parts, Meaning]:
    """Return the shards of a split, and what their columns mean. Raises DataError in one sentence."""
    with reading_of(place):
        match place.format:
            case "webdataset":
                files = place.splits[known(split, place.splits)]
                return Tars([os.path.join(place.folder, name) for name in files]), local_meaning(place.folder)
            case "parquet" | "json":
                files = place.splits[known(split, place.splits)]
                paths = [os.path.join(place.folder, name) for name in files]
                builder = datasets.load_dataset_builder(place.format, data_files={"train": paths})
                data, meaning = builder.as_streaming_dataset(split="train"), local_meaning(place.folder)
            case "hub":
                found = hub.builder(place.given, hub_options).as_streaming_dataset()
                data, meaning = found[known(split, found)], hub_meaning(place)
            case _:
                known_ones = "parquet, json, webdataset and hub"
                raise DataError(f"{place.format} is not streamed, {known_ones} are; leave streaming out")
        return Files(data), meaning._replace(labels=dict(labels(data.features or {})))
