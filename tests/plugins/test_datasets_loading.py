"""The source `datasets` in training: in loader workers, with corrupt media, and in a recipe."""

import io
import json
import os
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from fusion_datasets import cache
from fusion_datasets.source import open_rows
from fusion_scratch.audio import ScratchAudio
from fusion_scratch.image import ScratchImage
from fusion_scratch.text import ScratchText
from PIL import Image
from torch.utils.data import DataLoader

from fusion import Registry, Target, read_recipe, train
from fusion.data.collate import Collator
from fusion.data.loader import Reader
from fusion.data.order import Slots
from fusion.testing import check_source
from fusion.testing.sources import same

ROWS = 40


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def png(seed: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def flac(seed: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(seed).uniform(-1, 1, 800), 8000, format="FLAC")
    return file.getvalue()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Forty rows: every third has no image, every fourth no sound, every fifth no text."""
    rows = range(ROWS)
    columns = {
        "image": [None if n % 3 == 2 else png(n) for n in rows],
        "audio": [None if n % 4 == 3 else flac(n) for n in rows],
        "text": [None if n % 5 == 4 else [f"row {n}", f"number {n}"] for n in rows],
        "label": [n % 7 for n in rows],
        "fold": [n % 2 for n in rows],
    }
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet", row_group_size=6)
    return tmp_path / "rows.parquet"


def npz(table: Path) -> Path:
    np.savez(table.with_suffix(".npz"), image=np.arange(ROWS * 64, dtype=np.uint8).reshape(ROWS, 8, 8))
    return table.with_suffix(".npz")


def folder(table: Path) -> Path:
    for n in range(ROWS):
        path = table.parent / "photos" / str(n % 3) / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(n))
    return table.parent / "photos"


OPTIONS: dict[str, dict[str, Any]] = {
    "all": {},
    "some": {
        "columns": {"image": "image", "text": "text", "label": "label"},
        "where": {"fold": 1},
        "limit": 15,
    },
    "part": {"split": "train[25%:75%]"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_pickle_is_small_and_has_the_same_rows(table: Path, options: dict[str, Any]) -> None:
    source = open_rows(data=str(table), **options)
    packed = pickle.dumps(source)
    assert len(packed) < 2000
    copy = pickle.loads(packed)
    assert len(copy) == len(source) > 0
    assert all(same(copy[n], source[n]) for n in range(len(source)))
    assert len(check_source(source)) == 4


@pytest.mark.parametrize("make", [npz, folder])
def test_a_pickle_of_arrays_or_of_a_folder_is_small_and_has_the_same_rows(table: Path, make: Any) -> None:
    source = open_rows(data=str(make(table)))
    packed = pickle.dumps(source)
    assert len(packed) < 2000
    copy = pickle.loads(packed)
    assert len(copy) == len(source) == ROWS
    assert all(same(copy[n], source[n]) for n in range(ROWS))
    assert len(check_source(source)) == 4


def only(rows: list[Any]) -> Any:
    return rows[0]


@pytest.mark.parametrize(("method", "workers"), [("fork", 2), ("spawn", 1)])
def test_loader_workers_read_the_same_rows(table: Path, method: str, workers: int) -> None:
    source: Any = open_rows(data=str(table), columns={"image": "image", "audio": "audio", "label": "label"})
    loader = DataLoader(
        source, batch_size=1, collate_fn=only, num_workers=workers, multiprocessing_context=method
    )
    found = list(loader)
    assert len(found) == ROWS
    assert all(same(row, source[n]) for n, row in enumerate(found))


def test_a_bad_row_is_counted_and_the_others_of_its_batch_are_read(tmp_path: Path) -> None:
    rows = [
        {"file": "fine.png", "sound": "fine.flac", "text": "a", "class": "cat"},
        {"file": "torn.png", "sound": "fine.flac", "text": "b", "class": "dog"},
        {"file": "../fine.png", "sound": None, "text": "c", "class": "dog"},
        {"file": None, "sound": "torn.flac", "text": "d", "class": "dog"},
        {"file": None, "sound": None, "text": "e", "class": "cow"},
        {"file": "gone.png", "sound": None, "text": "f", "class": None},
        {"file": None, "sound": "fine.flac", "text": "g", "class": "dog"},
    ]
    for name, content in [("fine.png", png(0)), ("torn.png", png(0)[:60]), ("fine.flac", flac(0))]:
        (tmp_path / name).write_bytes(content)
    (tmp_path / "torn.flac").write_bytes(flac(0)[4:200])
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    label = {"column": "class", "classes": ["cat", "dog"]}
    source = open_rows(
        data=str(tmp_path / "rows.jsonl"),
        columns={"image": "file", "audio": "sound", "text": "text", "label": label},
    )
    encoders = {"image": ScratchImage(dim=8), "audio": ScratchAudio(dim=8), "text": ScratchText(dim=8)}
    collator = Collator({m: e.processor for m, e in encoders.items()}, {"label": Target(torch.long)})
    places = np.arange(len(rows))
    read = Reader({"rows": source}, collator)(Slots(np.zeros_like(places), places, np.zeros_like(places)))
    assert [(row.row, row.reason.split(":")[0]) for row in read.bad] == [
        (1, "image"),
        (2, "image"),
        (3, "audio"),
        (4, "label"),
        (5, "image"),
    ]
    assert read.batch.present["text"].tolist() == [True, False, False, False, False, False, True]
    assert read.batch.present["image"].tolist() == [True] + [False] * 6
    assert read.batch.present["audio"].tolist() == [True] + [False] * 5 + [True]
    assert read.batch.targets["label"].tolist() == [0, -100, -100, -100, -100, -100, 1]


def test_a_recipe_trains_on_rows_that_lack_modalities_and_on_a_stream(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_DATA", str(table.parent))
    path = table.parent / "recipe.yaml"
    path.write_text("""
sources:
  rows:
    name: datasets
    data: $SOME_DATA/rows.parquet
    columns: {image: image, audio: audio, text: text, label: label}
    where: {fold: [0, 1]}
  stream: {name: datasets, data: $SOME_DATA/rows.parquet, streaming: true}
encoders:
  image: {name: scratch-image, dim: 8}
  audio: {name: scratch-audio, dim: 8}
  text:  {name: scratch-text, dim: 8}
width: 8
objectives:
  align: {name: contrastive}
  which: {name: classify, classes: 7}
train: {steps: 3, batch: 16}
evaluate:
  sources:
    held-out: {name: datasets, data: $SOME_DATA/rows.parquet, split: "train[75%:]"}
""")
    registry = Registry()
    run = train(read_recipe(path, registry=registry), table.parent / "run", registry=registry)
    assert run.metrics["evaluate/rows"] == 10
    assert run.metrics["data/bad_rows"] == 0
    assert run.metrics["train/rows/image+audio+text"] > 0


def test_of_those_who_need_a_table_at_once_one_converts_it() -> None:
    calls: list[int] = []

    def make() -> pa.Table:
        calls.append(1)
        time.sleep(0.2)
        return pa.table({"text": ["a", "b"]})

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: cache.mapped("a key", make).num_rows, range(4)))
    assert (found, len(calls)) == ([2] * 4, 1)
    assert cache.mapped("another key", make).num_rows == 2
    assert len(calls) == 2
    kept = Path(datasets.config.HF_DATASETS_CACHE) / "fusion"
    assert sorted(path.suffix for path in kept.iterdir()) == [".arrow", ".arrow", ".lock", ".lock"]


def test_a_table_that_cannot_be_converted_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        cache.mapped("a key", fail)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="the disk is full"):
            cache.mapped("a key", lambda: pa.table({"text": ["a"]}))
    kept = Path(datasets.config.HF_DATASETS_CACHE) / "fusion"
    assert [path.suffix for path in kept.iterdir()] == [".lock"]
    assert cache.mapped("a key", lambda: pa.table({"text": ["a"]})).num_rows == 1
