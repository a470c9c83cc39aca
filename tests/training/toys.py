"""Recipes of a second with the toy plugin, what their runs hold, and trainings that are stopped."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fusion import Recipe, Registry, Run, train
from fusion.recipe.text import dump

STILL = {f"encoders.{name}.dropout": 0.0 for name in ("image", "text", "audio")} | {"fuser.dropout": 0.0}
# random layers draw from (seed, step, rank); a sound comes once in four rows, so one of two ranks has none
ALIKE = STILL | {"train.batch": 4, "train.steps": 6, "sources.seen.weight": 3}


def recipe(changes: Mapping[str, Any] | None = None) -> Recipe:
    """Build a recipe in which no row has an image and a sound; changes are dotted: {"train.steps": 3}."""
    data: dict[str, Any] = {
        "name": "toy",
        "sources": {
            "seen": {"name": "toy", "view": ["image", "text"], "weight": 2},
            "heard": {"name": "toy", "view": ["text", "audio"], "rows": 17},
        },
        "encoders": {name: {"name": f"toy-{name}"} for name in ("image", "text", "audio")},
        "augment": {name: [{"name": "toy-noise"}] for name in ("image", "text", "audio")},
        "width": 8,
        "fuser": {"name": "attend", "heads": 2, "layers": 1, "dropout": 0.1, "modality_dropout": 0.3},
        "objectives": {
            "align": {"name": "contrastive", "hub": "text"},
            "kind": {"name": "classify", "classes": 3},
        },
        "train": {"steps": 8, "batch": 6, "lr": 0.01, "log_every": 1},
    }
    for path, value in (changes or {}).items():
        *parents, last = path.split(".")
        section = data
        for parent in parents:
            section = section[parent]
        section[last] = value
    return Recipe(**data)


def write(recipe: Recipe, path: Path) -> Path:
    """Write a recipe to a file, for a command; return the file."""
    path.write_text(dump(recipe.model_dump(mode="json")))
    return path


def lines(run: Run) -> list[dict[str, Any]]:
    """Return what a run wrote for every step."""
    text = (run.folder / "metrics.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def weights(run: Run) -> dict[str, Tensor]:
    return load_file(run.model_file)


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether tensors are alike by name, to the bit."""
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def close(one: Run, other: Run) -> None:
    """Expect the numbers and weights of another number of processes, which adds in another order."""
    for alone, together in zip(lines(one), lines(other), strict=True):
        assert alone.keys() == together.keys()
        for key, value in alone.items():
            number = isinstance(value, float)
            expected = pytest.approx(value, abs=1e-5, rel=1e-5, nan_ok=True) if number else value
            assert together[key] == expected, key
    alike(weights(one), weights(other))


def alike(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        if name.endswith("in_proj_bias"):  # no key's bias has a gradient, and Adam makes its rounding large
            value[8:16] = other[name][8:16] = 0.0
        torch.testing.assert_close(other[name], value, atol=1e-5, rtol=0)


def stop(recipe: Recipe, out: Path, step: int, registry: Registry) -> None:
    """Train until Ctrl-C comes while `step` is written down, which ends it after the step that follows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOY_SIGNAL", f"2@{step}")
        with pytest.raises(KeyboardInterrupt, match=f"stopped after step {step + 1}"):
            train(recipe, out, registry=registry)


def interrupted(recipe: Recipe, out: Path, step: int, registry: Registry) -> Run:
    """Train, be stopped after the step that follows `step`, and go on."""
    stop(recipe, out, step, registry)
    return train(recipe, out, resume=True, registry=registry)
