"""Opinions in films by published features: voice, face, and words that hardly a row of the training has.

FUSION_DATA=DIR fusion train recipes/mfn.py
FUSION_DATA=DIR python benchmarks/mfn.py    # three corpora, three seeds, beside what was published

COVAREP, FACET and GloVe as MFN (Zadeh et al. 2018) had them. The text of each training split is lost: one
half of the validation rows, which have it, is trained on, and the other half is told. See docs/results.md.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from fusion import Component, DataError, Recipe, hookimpl

TRAITS = {"name": "regress", "target": "told", "loss": "l1"}
TASKS: dict[str, dict[str, Any]] = {  # three kinds; 1 to 5 stars; 17 traits from 1 to 7, without text
    "youtube": {"name": "classify", "target": "told", "classes": 3},
    "mmmo": TRAITS,
    "pom": {**TRAITS, "outputs": 17},
}


class Opinions:
    """Rows of `audio`, `video` and `text`, (t, d) without padding, and `told`; of a split, or of its half."""

    def __init__(self, *, corpus: str = "youtube", split: str = "train", half: int | None = None) -> None:
        if "FUSION_DATA" not in os.environ:
            raise DataError(f"FUSION_DATA is not set; set it to the folder that holds mfn_{corpus}.npz")
        with np.load(Path(os.environ["FUSION_DATA"]) / f"mfn_{corpus}.npz", allow_pickle=False) as held:
            kept = slice(None) if half is None else slice(half, None, 2)
            parts = {key.split("_")[0]: held[key][kept] for key in held.files if key.endswith(split)}
            self.mean, self.std = held["y_train"].mean(0), held["y_train"].std(0)
        self.truth, self.features = parts.pop("y"), parts
        self.told = self.truth.argmax(1) if corpus == "youtube" else (self.truth - self.mean) / self.std

    def __len__(self) -> int:
        return len(self.told)

    def __getitem__(self, place: int) -> dict[str, Any]:
        row = {name: every[place][every[place].any(axis=1)] for name, every in self.features.items()}
        return {name: moments for name, moments in row.items() if len(moments)} | {"told": self.told[place]}


@hookimpl
def fusion_sources() -> list[Component]:
    return [Component("opinions", Opinions)]


def of(corpus: str, half: int = 0, seed: int = 0) -> Recipe:
    valid = {"name": "opinions", "corpus": corpus, "split": "valid"}
    names = ("audio", "video") if corpus == "pom" else ("audio", "video", "text")
    return Recipe(
        name=f"mfn_{corpus}",
        sources={"train": valid | {"split": "train", "weight": 4}, "read": valid | {"half": 1 - half}},
        encoders={name: {"name": "features", "dim": 32, "dropout": 0.3} for name in names},
        width=32,
        fuser={"name": "gate", "modality_dropout": 0.3},
        objectives={"told": TASKS[corpus]},
        train={"steps": 150, "batch": 32, "seed": seed},
        evaluate={"sources": {"valid": valid | {"half": half}}, "retrieval": []},
    )


recipe = of("youtube")
