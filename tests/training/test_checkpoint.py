"""Checkpoints are whole or not there: any changed bit is found, and a full disk harms none of the others."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from fusion import CheckpointError
from fusion.training.checkpoint import (
    Checkpoint,
    latest,
    load,
    optimizer_tensors,
    restore_optimizer,
    save,
)


def example(step: int) -> Checkpoint:
    model = {"image.weight": torch.arange(6.0).reshape(2, 3) + step, "text.count": torch.tensor(step)}
    optimizer = {"image.weight/exp_avg": torch.full((2, 3), 0.5), "image.weight/step": torch.tensor(4.0)}
    return Checkpoint(step, model, optimizer, {"seconds": 1.5, "presence": {"image+text": 3, "audio": 1}})


def same(first: Checkpoint, second: Checkpoint) -> bool:
    pairs = ((first.model, second.model), (first.optimizer, second.optimizer))
    return (
        all(
            one.keys() == two.keys()
            and all(one[name].dtype == two[name].dtype and torch.equal(one[name], two[name]) for name in one)
            for one, two in pairs
        )
        and first.step == second.step
        and first.state == second.state
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def flip(path: Path, position: int, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


def test_what_was_saved_is_loaded_to_the_bit(tmp_path: Path) -> None:
    path = save(tmp_path, example(7), keep=2)
    assert path == tmp_path / "step-00000007"
    assert same(load(path), example(7))
    found, damaged = latest(tmp_path)
    assert found is not None
    assert same(found, example(7))
    assert damaged == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.bool])
def test_tensors_of_every_type_and_layout_survive(tmp_path: Path, dtype: torch.dtype) -> None:
    matrix = torch.arange(6).reshape(2, 3).to(dtype)
    given = {
        "turned": matrix.T,
        "shared": matrix,
        "part": matrix[:, 1:],
        "empty": matrix[:0],
        "one": matrix[0, 1],
    }
    save(tmp_path, Checkpoint(1, given, {}, {}), keep=1)
    found = load(tmp_path / "step-00000001").model
    assert all(found[name].dtype == dtype and torch.equal(found[name], given[name]) for name in given)


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_are_kept(tmp_path: Path, keep: int) -> None:
    for step in (3, 6, 9, 12):
        save(tmp_path, example(step), keep)
    assert names(tmp_path) == [f"step-{step:08d}" for step in (3, 6, 9, 12)[-keep:]]


@pytest.mark.parametrize("keep", [1, 2])
def test_a_damaged_checkpoint_of_a_later_step_does_not_push_out_a_whole_one(
    tmp_path: Path, keep: int
) -> None:
    save(tmp_path, example(4), keep=2)
    flip(save(tmp_path, example(8), keep=2) / "state.json", 3, 1)
    save(tmp_path, example(6), keep)  # a training that went on from step 4, and was interrupted
    assert names(tmp_path) == ["step-00000004", "step-00000006"][-keep:]
    found, damaged = latest(tmp_path)
    assert found is not None
    assert (found.step, damaged) == (6, [])


def test_a_checkpoint_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    flip(save(tmp_path, example(4), keep=2) / "model.safetensors", 9, 0)
    save(tmp_path, example(4), keep=2)
    assert same(load(tmp_path / "step-00000004"), example(4))


@pytest.mark.parametrize(
    "file", ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"]
)
def test_a_flipped_bit_anywhere_is_refused_and_the_one_before_is_taken(tmp_path: Path, file: str) -> None:
    save(tmp_path, example(1), keep=2)
    path = save(tmp_path, example(2), keep=2) / file
    size, tried = path.stat().st_size, 0
    for position in range(size):
        flip(path, position, position % 8)
        with pytest.raises(CheckpointError, match="step-00000002 is damaged: "):
            load(path.parent)
        if position % 50 == 0:
            found, damaged = latest(tmp_path)
            assert found is not None
            assert same(found, example(1))
            assert len(damaged) == 1
        flip(path, position, position % 8)
        tried += 1
    assert tried == size > 20
    assert same(load(path.parent), example(2))


def test_the_file_that_is_damaged_is_named(tmp_path: Path) -> None:
    path = save(tmp_path, example(2), keep=2)
    flip(path / "optimizer.safetensors", 100, 0)
    with pytest.raises(CheckpointError, match=r"step-00000002 is damaged: optimizer\.safetensors$"):
        load(path)


@pytest.mark.parametrize(
    "file", ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"]
)
@pytest.mark.parametrize("left", [0, 1, 20])
def test_a_truncated_file_is_refused(tmp_path: Path, file: str, left: int) -> None:
    save(tmp_path, example(1), keep=2)
    path = save(tmp_path, example(2), keep=2) / file
    path.write_bytes(path.read_bytes()[:left])
    found, damaged = latest(tmp_path)
    assert found is not None
    assert found.step == 1
    assert "step-00000002 is damaged" in damaged[0]


@pytest.mark.parametrize("file", ["model.safetensors", "state.json", "manifest.json"])
def test_a_missing_file_is_refused(tmp_path: Path, file: str) -> None:
    path = save(tmp_path, example(2), keep=2)
    (path / file).unlink()
    with pytest.raises(CheckpointError, match=f"is damaged: .*{file}"):
        load(path)


def test_a_file_that_does_not_belong_there_is_refused_but_for_hidden_ones(tmp_path: Path) -> None:
    path = save(tmp_path, example(2), keep=2)
    (path / ".nfs0001").touch()
    assert same(load(path), example(2))
    (path / "model.safetensors.1").touch()
    with pytest.raises(
        CheckpointError, match=r"is damaged: model\.safetensors\.1 \(does not belong there\)$"
    ):
        load(path)


def test_a_manifest_that_says_the_same_in_other_words_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, example(2), keep=2)
    manifest = path / "manifest.json"
    digests = json.loads(manifest.read_text())
    assert list(digests) == ["model.safetensors", "optimizer.safetensors", "state.json"]
    for content in (
        json.dumps(digests),
        manifest.read_text() + "\n",
        json.dumps({**digests, "x": ""}, indent=1),
    ):
        manifest.write_text(content)
        with pytest.raises(CheckpointError, match=r"is damaged: manifest\.json$"):
            load(path)


@pytest.mark.parametrize("content", ["{}", "[]", "3", '{"../x": "y"}', "null"])
def test_a_manifest_that_lists_nothing_is_refused(tmp_path: Path, content: str) -> None:
    path = save(tmp_path, example(2), keep=2)
    (path / "manifest.json").write_text(content)
    with pytest.raises(CheckpointError, match="is damaged: "):
        load(path)


def test_without_a_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert latest(tmp_path) == (None, [])
    assert latest(tmp_path / "nowhere") == (None, [])
    (tmp_path / "step-00000003").mkdir()  # empty, as a copy that has just begun
    found, damaged = latest(tmp_path)
    assert found is None
    assert "step-00000003 is damaged" in damaged[0]


def test_what_is_no_checkpoint_is_left_alone(tmp_path: Path) -> None:
    copy = tmp_path / "step-00000009-best"
    shutil.copytree(save(tmp_path, example(9), keep=2), copy)
    (tmp_path / "step-notes.txt").write_text("of the owner")
    for step in (10, 11, 12):
        save(tmp_path, example(step), keep=1)
    assert names(tmp_path) == ["step-00000009-best", "step-00000012", "step-notes.txt"]
    found, _ = latest(tmp_path)
    assert found is not None
    assert found.step == 12


def test_what_a_killed_save_has_left_is_ignored_and_cleared_by_the_next(tmp_path: Path) -> None:
    save(tmp_path, example(1), keep=2)
    for left in (".step-00000002.partial", ".step-00000005.partial", ".step-00000000.gone"):
        stage = tmp_path / left
        shutil.copytree(tmp_path / "step-00000001", stage)
        (stage / "state.json").write_text(json.dumps({"step": 5}))
    found, damaged = latest(tmp_path)
    assert found is not None
    assert (found.step, damaged) == (1, [])
    save(tmp_path, example(2), keep=2)
    assert names(tmp_path) == ["step-00000001", "step-00000002"]


FULL = """
import resource, signal, sys, torch
from pathlib import Path
from fusion import CheckpointError
from fusion.training.checkpoint import Checkpoint, save

folder, limit = Path(sys.argv[1]), int(sys.argv[2])
save(folder, Checkpoint(1, {"w": torch.ones(100)}, {"w/exp_avg": torch.ones(100)}, {}), keep=1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write beyond the limit raises, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    large = {"w": torch.ones(1000)}, {"w/exp_avg": torch.ones(3000)}, {"x": "y" * 20000}
    save(folder, Checkpoint(2, *large), keep=1)
except CheckpointError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [0, 2000, 6000, 15000])  # of the model, the optimiser and the state
def test_a_full_disk_is_told_and_leaves_the_previous_checkpoint_untouched(tmp_path: Path, limit: int) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path), str(limit)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "cannot save checkpoint" in run.stdout
    assert "step-00000001 is untouched" in run.stdout
    assert names(tmp_path) == ["step-00000001"]
    assert torch.equal(load(tmp_path / "step-00000001").model["w"], torch.ones(100))


def test_a_first_save_that_fails_says_that_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file in the way")
    with pytest.raises(CheckpointError, match=r"cannot save checkpoint .*step-00000001: .*; there was none"):
        save(tmp_path / "checkpoints", example(1), keep=1)


def test_the_state_of_the_optimiser_is_restored_to_the_bit(tmp_path: Path) -> None:
    def build() -> tuple[nn.Module, torch.optim.AdamW]:
        torch.manual_seed(0)
        model = nn.ModuleDict({"image": nn.Linear(3, 2), "text": nn.Linear(3, 2), "audio": nn.Linear(3, 2)})
        groups = [{"params": [part.weight], "weight_decay": 0.1} for part in model.values()]
        groups.append({"params": [part.bias for part in model.values()], "weight_decay": 0.0})
        return model, torch.optim.AdamW(groups, lr=0.1, fused=True)

    def step(model: nn.Module, adamw: torch.optim.AdamW, number: int) -> None:
        x = torch.full((4, 3), float(number))
        parts = ["image"] if number < 3 else ["image", "text"]  # audio is never seen, text only later
        sum(model[name](x).square().sum() for name in parts).backward()  # type: ignore[index, union-attr]
        adamw.step()
        adamw.zero_grad()

    model, adamw = build()
    for number in range(5):
        step(model, adamw, number)
        if number == 1:
            tensors = optimizer_tensors(model, adamw)
            assert sorted(tensors) == sorted(
                f"image.{part}/{key}"
                for part in ("weight", "bias")
                for key in ("step", "exp_avg", "exp_avg_sq")
            )
            save(tmp_path, Checkpoint(2, model.state_dict(), tensors, {}), keep=1)

    again, other = build()
    found = load(tmp_path / "step-00000002")
    again.load_state_dict(found.model)
    restore_optimizer(again, other, found.optimizer)
    for number in range(2, 5):
        step(again, other, number)
    for name, weight in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name


def test_the_state_of_a_parameter_has_its_layout_again(tmp_path: Path) -> None:
    def build() -> tuple[nn.Module, torch.optim.AdamW]:
        torch.manual_seed(0)
        model = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        return model, torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)

    def step(model: nn.Module, adamw: torch.optim.AdamW, number: int) -> None:
        model(
            torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(number))
        ).square().sum().backward()
        adamw.step()
        adamw.zero_grad()

    model, adamw = build()
    step(model, adamw, 0)
    save(tmp_path, Checkpoint(1, model.state_dict(), optimizer_tensors(model, adamw), {}), keep=1)
    again, other = build()
    found = load(tmp_path / "step-00000001")
    again.load_state_dict(found.model)
    restore_optimizer(again, other, found.optimizer)
    step(model, adamw, 1)
    step(again, other, 1)
    assert torch.equal(again.weight, model.weight)  # type: ignore[arg-type]
