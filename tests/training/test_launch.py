"""`fusion train --launch` trains on the processes that it starts, as one process would."""

from pathlib import Path
from typing import Any

import pytest

from fusion import Recipe, Registry, Run, train
from fusion.recipe.text import dump
from tests.training.test_ranks import ALIKE


def test_two_processes_train_what_one_does(
    recipe: Any, registry: Registry, python: Any, tmp_path: Path, lines: Any
) -> None:
    made: Recipe = recipe(ALIKE)
    (tmp_path / "toy.yaml").write_text(dump(made.model_dump(mode="json")))
    words = ("train", str(tmp_path / "toy.yaml"), "train.steps=3", "--out", str(tmp_path / "two"))
    done = python("-m", "fusion", *words, "--launch", "cpu2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report  ") == 1
    two, one = (
        Run(tmp_path / "two"),
        train(recipe(ALIKE | {"train.steps": 3}), tmp_path / "one", registry=registry),
    )
    assert (two.manifest["processes"], one.manifest["processes"]) == (2, 1)
    losses = [[line["loss"] for line in lines(run)] for run in (one, two)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    refused = python("-m", "fusion", *words, "--launch=cpu2")
    assert refused.returncode == 1
    assert f"error: {tmp_path / 'two'} exists; continue it with --resume" in refused.stderr
    assert "Traceback" not in python("-m", "fusion", *words, "train.lr=none", "--launch=cpu2").stderr
