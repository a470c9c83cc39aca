"""Checkpoints are written beside the training: as the state was when asked for, and no failure is lost."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from fusion import CheckpointError, Registry, Run, hookimpl, train
from fusion.recipe.schema import Train
from fusion.training.checkpoint import all_in, latest
from fusion.training.launch import launch
from fusion.training.progress import progress
from fusion.training.saving import Saver
from fusion.training.snapshot import Snapshot
from tests.training.toys import recipe

NONE = {"init": None, "prior": None}


def test_a_copy_stays_what_it_was_and_its_memory_is_used_again() -> None:
    tensors = {"turned": torch.arange(6.0).reshape(2, 3).T, "step": torch.tensor(4), "none": torch.zeros(0)}
    snapshot = Snapshot()
    copies = snapshot.take(tensors)
    snapshot.wait()
    tensors["turned"].add_(1)
    assert copies["turned"].tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    assert copies["step"].dtype == torch.int64
    places = {name: copy.data_ptr() for name, copy in copies.items()}
    again = snapshot.take(tensors | {"new": torch.ones(2)})
    assert again["turned"].tolist() == [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]
    assert {name: again[name].data_ptr() for name in places} == places
    wider = snapshot.take({"turned": torch.ones(4)})
    assert list(wider) == ["turned"]
    assert wider["turned"].shape == (4,)


class Trained:
    """A model of 16 MB that counts its steps in its weights, its saver, and what was said."""

    def __init__(self, folder: Path) -> None:
        (folder / "recipe.yaml").touch()
        self.model = nn.Linear(2000, 2000, bias=False)
        nn.init.zeros_(self.model.weight)
        accelerator = launch(Train(steps=1))
        adamw = accelerator.prepare(torch.optim.AdamW(self.model.parameters()))
        shown = progress("", 1, main=True)
        self.run = Run(folder)
        self.saver = Saver(self.run, 2, self.model, adamw, accelerator, shown, NONE)  # type: ignore[arg-type]

    def step(self, number: int) -> None:
        nn.init.constant_(self.model.weight, number)
        self.saver.save(number, 1.5, {"presence": {"image+text": number}}, lambda until: None)


@pytest.fixture
def trained(tmp_path: Path) -> Trained:
    return Trained(tmp_path)


def test_what_is_written_is_the_state_when_it_was_asked_for(trained: Trained) -> None:
    with trained.saver:
        for number in (1, 2, 3):
            trained.step(number)
            nn.init.constant_(trained.model.weight, -1)  # as the next step changes it
    assert [path.name for path in all_in(trained.run.checkpoints)] == ["step-00000003", "step-00000002"]
    found, damaged = latest(trained.run.checkpoints)
    assert found is not None
    assert damaged == []
    assert (found.model["weight"] == 3).all()
    assert found.state == {"seconds": 1.5, "presence": {"image+text": 3}, **NONE}


def test_a_training_that_waits_for_a_checkpoint_is_told_so_once(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    with trained.saver:
        for number in (1, 2, 3):
            trained.step(number)
    told = "warning: step 2 waits for the checkpoint before; raise train.checkpoint_every\n"
    assert capsys.readouterr().err == told


def test_a_checkpoint_that_cannot_be_written_is_told_by_the_next_one_or_at_the_end(trained: Trained) -> None:
    trained.run.checkpoints.write_text("a file in the way")
    lost = r"cannot save checkpoint .*step-00000001: .*; there was none before"
    with pytest.raises(CheckpointError, match=lost), trained.saver:
        trained.step(1)
    trained = Trained(trained.run.folder)
    with trained.saver:
        trained.step(1)
        with pytest.raises(CheckpointError, match=lost):
            trained.step(2)


def test_what_ended_the_training_comes_before_a_checkpoint_that_failed(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    trained.run.checkpoints.write_text("a file in the way")
    trained.step(1)
    with pytest.raises(ZeroDivisionError), trained.saver:
        _ = 1 / 0  # of the training
    assert "warning: cannot save checkpoint" in capsys.readouterr().err


def test_a_training_ends_when_a_checkpoint_cannot_be_written(toy: ModuleType, tmp_path: Path) -> None:
    heard: list[int] = []
    in_the_way: Any = ModuleType("in_the_way")

    @hookimpl
    def fusion_train_start() -> None:
        (tmp_path / "run" / "checkpoints").write_text("a file in the way")

    @hookimpl
    def fusion_step_end(step: int) -> None:
        heard.append(step)

    in_the_way.fusion_train_start, in_the_way.fusion_step_end = fusion_train_start, fusion_step_end
    registry = Registry(plugins={"toy": toy, "in_the_way": in_the_way})
    with pytest.raises(CheckpointError, match=r"cannot save checkpoint .*step-00000002: .*; there was none"):
        train(recipe({"train.checkpoint_every": 2}), tmp_path / "run", registry=registry)
    assert heard[-1] <= 4  # when the next one is due
    assert not (tmp_path / "run" / "model.safetensors").exists()
