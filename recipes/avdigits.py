"""Digits that are seen, heard and read, all three badly: every fuser against every single modality.

FUSION_DATA=DIR python recipes/avdigits.py       # six fusers, three seeds
FUSION_DATA=DIR fusion train recipes/avdigits.py fuser.name=attend

After AV-MNIST (Vielzeuf et al. 2018): scans of MNIST, recordings of FSDD and words, noisy, in fixed pairs.
All three give 99.2 to 99.8 % (three seeds, by fuser), the best alone 84 to 92 %; see docs/results.md.
"""

import csv
import os
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from fusion import Component, DataError, Recipe, Registry, decode, hookimpl, read_recipe, train

FUSERS, SEEDS, RATE = ("mean", "concat", "gate", "attend", "bottleneck", "lowrank"), (0, 1, 2), 8000


class Pairs:
    """Rows of an image, a sound and a word; `noise` is about as large as the signal when it is 1."""

    def __init__(self, *, split: str = "train", noise: float = 0.6, limit: int | None = None) -> None:
        if "FUSION_DATA" not in os.environ:
            raise DataError("FUSION_DATA is not set; set it to the folder that holds avdigits_index.csv")
        folder, self.split, self.noise = Path(os.environ["FUSION_DATA"]), split, noise
        with (folder / "avdigits_index.csv").open(newline="") as file:
            self.index = [row for row in csv.DictReader(file) if row["split"] == split][:limit]
        scans = np.load(folder / "mnist.npz", allow_pickle=False)
        self.scans = scans["x_train" if split == "train" else "x_test"]
        self.clips = pq.read_table(folder / "fsdd.parquet", columns=["audio"])["audio"]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, place: int) -> dict[str, Any]:
        row, rng = self.index[place], np.random.default_rng((place, self.split == "train"))
        scan = self.scans[int(row["mnist_row"])] / np.float32(255)
        scan = (scan + self.noise * rng.standard_normal(scan.shape, np.float32)).clip(0, 1)
        wave = decode.audio(self.clips[int(row["fsdd_row"])].as_py(), RATE, 1.0)
        wave = wave + 2 * self.noise * wave.std() * rng.standard_normal(len(wave), np.float32)
        letters = [chr(97 + rng.integers(26)) if rng.random() < self.noise else kept for kept in row["text"]]
        return {"image": scan, "audio": (wave, RATE), "text": "".join(letters), "label": int(row["label"])}


@hookimpl
def fusion_sources() -> list[Component]:
    return [Component("pairs", Pairs, tiny={"limit": 64})]


recipe = Recipe(
    name="avdigits",
    sources={"all": {"name": "pairs"}},
    encoders={name: {"name": f"scratch-{name}"} for name in ("image", "text", "audio")},
    width=64,
    fuser={"name": "gate", "modality_dropout": 0.4},
    objectives={"digit": {"name": "classify", "classes": 10}},
    train={"steps": 300, "batch": 64, "lr": 1.5e-3},
    evaluate={"sources": {"val": {"name": "pairs", "split": "val"}}, "retrieval": []},
)


def accuracies(fuser: str, seed: int) -> dict[str, float]:
    """Train a fuser with a seed; return its accuracy in per cent by the modalities that are given."""
    registry = Registry()
    chosen = [f"name=avdigits_{fuser}", f"fuser.name={fuser}", f"train.seed={seed}"]
    metrics = train(read_recipe(__file__, chosen, registry), registry=registry).metrics
    found = {key.split("/", 1)[1]: value for key, value in metrics.items() if key.startswith("subsets/")}
    return {key.removesuffix("/accuracy"): 100 * found[key] for key in found if key.endswith("/accuracy")}


if __name__ == "__main__":
    for fuser in FUSERS:
        runs = [accuracies(fuser, seed) for seed in SEEDS]
        shares = {given: [run[given] for run in runs] for given in runs[0]}
        print(fuser, *(f"{given} {mean(of):.1f} ± {stdev(of):.1f}" for given, of in shares.items()), sep="  ")
