"""List a folder of images or sounds as a table: a file in each row, with the class whose folder it is in."""

import os
from collections.abc import Mapping, Sequence
from pathlib import PurePath

import datasets
import pyarrow as pa

from fusion_datasets import cache
from fusion_datasets.place import METADATA, SPLITS

COLUMNS = {"images": "image", "sounds": "audio"}


def metadata(files: Sequence[str]) -> str | None:
    """Return the uppermost file of metadata among the files of a split, if there is one."""
    found = [name for name in files if PurePath(name).name in METADATA]
    return min(found, key=lambda name: (name.count(os.sep), name), default=None)


def listing(kind: str, folder: str, splits: Mapping[str, list[str]], split: str) -> datasets.Dataset:
    """Return the files of a split, relative to the folder.

    They have labels when each file lies in the folder of its class, straight below the folder of the
    split; a class has the same number in every split, by the order of the names in all of them.
    """
    parts = [name.split(os.sep) for files in splits.values() for name in files]
    depth = 1 if all(part[0].lower() in SPLITS for part in parts) else 0
    labelled = all(len(part) == depth + 2 for part in parts)
    names = sorted({part[depth] for part in parts}) if labelled else []

    def make() -> pa.Table:
        columns = {COLUMNS[kind]: pa.array(splits[split], pa.string())}
        features = {COLUMNS[kind]: datasets.Value("string")}
        if labelled:
            number = {name: place for place, name in enumerate(names)}
            labels = [number[name.split(os.sep)[depth]] for name in splits[split]]
            columns["label"] = pa.array(labels, pa.int64())
            features["label"] = datasets.ClassLabel(names=names)
        return pa.table(columns, schema=datasets.Features(features).arrow_schema)

    return cache.mapped((kind, folder, splits, split), make)
