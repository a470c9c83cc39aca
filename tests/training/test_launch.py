"""`fusion train --launch` trains on the processes that it starts, as one process would."""

from pathlib import Path
from typing import Any

from fusion import Registry, Run, train
from tests.training.toys import ALIKE, close, recipe, write


def test_two_processes_train_what_one_does(registry: Registry, python: Any, tmp_path: Path) -> None:
    path = write(recipe(ALIKE), tmp_path / "toy.yaml")
    words = ("train", str(path), "train.steps=3", "--out", str(tmp_path / "two"))
    done = python("-m", "fusion", *words, "--launch", "cpu2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report  ") == 1
    two = Run(tmp_path / "two")
    one = train(recipe(ALIKE | {"train.steps": 3}), tmp_path / "one", registry=registry)
    assert (two.manifest["processes"], one.manifest["processes"]) == (2, 1)
    close(one, two)
    refused = python("-m", "fusion", *words, "--launch=cpu2")
    assert refused.returncode == 1
    assert f"error: {tmp_path / 'two'} exists; continue it with --resume" in refused.stderr
    assert "Traceback" not in python("-m", "fusion", *words, "train.lr=none", "--launch=cpu2").stderr
