"""ZeRO-1 on two processes: the losses and weights of one, half of Adam's state each, checkpoints of one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from fusion import Registry, Run, train
from fusion.recipe_text import dump
from tests.training.test_ranks import ALIKE, OBJECTIVES
from tests.training.test_sharded import alike

ZERO = {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "1"}
# a rank has no sound in some steps, and no rank has one in others
CHANGES = ALIKE | {"objectives": OBJECTIVES, "train.checkpoint_every": 2}
Start = Callable[..., Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zero")


@pytest.fixture(scope="module")
def start(torchrun: Any, recipe: Any, place: Path) -> Start:
    """Train on so many processes into a folder."""
    path = place / "toy.yaml"
    path.write_text(dump(recipe(CHANGES).model_dump(mode="json")))

    def run(processes: int, name: str, *more: str, **env: str) -> Any:
        words = ("-m", "fusion", "train", str(path), "--out", str(place / name), *more)
        return torchrun(processes, *words, **(ZERO | env))

    return run


@pytest.fixture(scope="module")
def one(recipe: Any, registry: Registry, place: Path) -> Run:
    return train(recipe(CHANGES), place / "one", registry=registry)


@pytest.fixture(scope="module")
def two(start: Start, place: Path) -> Run:
    done = start(2, "two")
    assert done.returncode == 0, done.stderr
    return Run(place / "two")


def test_losses_norms_and_weights_are_those_of_one_process(
    one: Run, two: Run, lines: Any, weights: Any
) -> None:
    for alone, together in zip(lines(one), lines(two), strict=True):
        assert alone.keys() == together.keys()
        for key, value in alone.items():
            assert together[key] == pytest.approx(value, abs=1e-5, rel=1e-5), key
    alike(weights(one), weights(two))
