"""What the features of a frozen ViT-S/16 in the cache save, beside computing them in every epoch.

    python benchmarks/cache.py [rounds] [rows]

Beside the frozen tower another small one learns, or nothing but heads. The time of an epoch is that of later
epochs of `fusion.train`, without its start and end; the first, with an empty cache, is all of a training.
Pictures are arrays in memory of the size that the tower reads, which is the least that reading them can cost.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from table import in_turns, row

from fusion import Component, Recipe, Registry, hookimpl, train
from fusion.cache.entry import Entry
from fusion.cache.parts import Part

BATCH = 32
VIT = {"name": "timm-image", "model": "vit_small_patch16_224", "pretrained": False}


class Made:
    """Pictures of noise with a second of noise each, and a label."""

    def __init__(self, *, rows: int) -> None:
        rng = np.random.default_rng(0)
        self.pictures = rng.integers(0, 256, (rows, 224, 224, 3), np.uint8)
        self.sounds = rng.standard_normal((rows, 8000)).astype(np.float32) / 10

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": self.pictures[index], "audio": (self.sounds[index], 8000), "label": index % 10}


@hookimpl
def fusion_sources() -> list[Component]:
    return [Component("made", Made)]


REGISTRY = Registry(plugins={"made": sys.modules[__name__]})


def recipe(beside: bool, cache: Any, rows: int, epochs: int) -> Recipe:
    audio = {"audio": {"name": "scratch-audio", "rate": 8000, "seconds": 1.0}} if beside else {}
    return Recipe(
        sources={"all": {"name": "made", "rows": rows}},
        encoders={"image": {**VIT, "tune": {"mode": "frozen"}, "cache": cache}, **audio},
        objectives={"label": {"name": "classify", "classes": 10}},
        train={"steps": epochs * rows // BATCH, "batch": BATCH, "checkpoint_every": 10**6},
    )


def seconds(beside: bool, cache: Any, rows: int, epochs: int) -> float:
    with TemporaryDirectory() as folder:
        run = train(recipe(beside, cache, rows, epochs), Path(folder) / "run", registry=REGISTRY)
        return float(run.metrics["train/seconds"])


def epoch(beside: bool, cache: Any, rows: int, epochs: int) -> Callable[[], float]:
    """Return what measures the time of an epoch, over so many after the first."""
    return lambda: (seconds(beside, cache, rows, 1 + epochs) - seconds(beside, cache, rows, 1)) / epochs


def first(cache: Any, rows: int) -> Callable[[], float]:
    """Return what measures a training of one epoch, with an empty cache."""

    def measure() -> float:
        with TemporaryDirectory() as folder:
            os.environ["FUSION_CACHE"] = folder + "/cache"
            began = time.monotonic()
            train(recipe(False, cache, rows, 1), Path(folder) / "run", registry=REGISTRY)
            return time.monotonic() - began

    return measure


def check(folder: Path) -> str:
    """Say how fast an entry is compared with its checksums, as it is whenever a training begins."""
    part = Part(folder, 0)
    part.append("pooled", np.zeros((2**17, 384), np.float32))
    entry = Entry(folder)
    entry.finish("entry", {}, 2**17, part.close())
    began = time.monotonic()
    assert Entry(folder.with_name("entry")).fault() is None
    return f"checked at {4 * 384 * 2**17 / (time.monotonic() - began) / 1e9:.1f} GB a second"


def main(rounds: int = 3, rows: int = 64) -> None:
    row(
        "a training of one epoch that fills the cache",
        *in_turns(rounds, first(True, rows), first(False, rows)),
        "s",
    )
    with TemporaryDirectory() as folder:
        Path(folder, "stage").mkdir()
        print(check(Path(folder, "stage")))
        for cache in ("fp16", True):
            os.environ["FUSION_CACHE"] = f"{folder}/{cache}"
            seconds(False, cache, rows, 1)
            size = sum(path.stat().st_size for path in Path(folder, str(cache)).rglob("pooled-*.npy"))
            print(f"features of {rows} rows, cache: {cache}: {size:,} bytes")
        for name, beside, epochs, goal in (
            ("a tower that learns", True, 4, 1 / 10),
            ("heads only", False, 200, 1 / 300),
        ):
            turns = in_turns(rounds, epoch(beside, True, rows, epochs), epoch(beside, False, rows, 1))
            row(f"an epoch with features from the cache, {name}", *turns, "s", goal)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
