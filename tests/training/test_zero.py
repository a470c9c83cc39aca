"""ZeRO-1 on two processes: the losses and weights of one, half of Adam's state each, checkpoints of one."""

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor

from fusion import Recipe, Registry, Run, TrainingError, train
from fusion.launch import deepspeed
from fusion.training.checkpoint import OPTIMIZER
from fusion.training.verify import verify
from tests.training import holding
from tests.training.test_ranks import OBJECTIVES
from tests.training.toys import ALIKE, alike, close, lines, recipe, same, weights, write

# a sound comes once in eight rows: one rank has none in every second step, and no rank in the others
CHANGES = ALIKE | {"sources.seen.weight": 7, "objectives": OBJECTIVES, "train.checkpoint_every": 2}
CPU = """
distributed_type: DEEPSPEED
deepspeed_config: {zero_stage: 1}
use_cpu: true
num_processes: 2
"""
Start = Callable[..., Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("deepspeed") is None:
        pytest.skip("DeepSpeed is not there: pip install 'fusion-bind[deepspeed]'")
    folder = tmp_path_factory.mktemp("zero")
    (folder / "cpu.yaml").write_text(CPU)
    return folder


@pytest.fixture(scope="module")
def written(place: Path) -> Path:
    return write(recipe(CHANGES), place / "toy.yaml")


@pytest.fixture(scope="module")
def start(python: Any, place: Path, written: Path) -> Start:
    """Train on two processes into a folder."""

    def run(name: str, *more: str, recipe: Path = written, **env: str) -> Any:
        words = ("train", str(recipe), "--out", str(place / name), "--launch", str(place / "cpu.yaml"))
        return python("-m", "fusion", *words, *more, **env)

    return run


@pytest.fixture(scope="module")
def one(registry: Registry, place: Path) -> Run:
    return train(recipe(CHANGES), place / "one", registry=registry)


@pytest.fixture(scope="module")
def two(start: Start, place: Path) -> Run:
    done = start("two")
    assert done.returncode == 0, done.stderr
    return Run(place / "two")


@pytest.fixture(scope="module")
def stopped(start: Start, place: Path) -> Path:
    """A run that was stopped after step 4, and saved after steps 2 and 4."""
    done = start("stopped", TOY_SIGNAL="2@2")
    assert "stopped after step 4; go on with --resume" in done.stderr
    return place / "stopped"


def moments(run: Run, step: int) -> dict[str, Tensor]:
    return load_file(run.checkpoints / f"step-{step:08d}" / OPTIMIZER)


def test_losses_norms_and_weights_are_those_of_one_process(one: Run, two: Run) -> None:
    assert two.manifest["processes"] == 2
    assert two.manifest["deepspeed"].startswith(deepspeed.KNOWN)
    assert "deepspeed" not in one.manifest
    close(one, two)


def test_a_checkpoint_is_that_of_one_process(one: Run, two: Run, registry: Registry) -> None:
    assert verify(two, registry).whole
    for step in (4, 6):
        ours, theirs = moments(one, step), moments(two, step)
        alike(ours, theirs)
        steps = {name: value.item() for name, value in theirs.items() if name.endswith("/step")}
        # what no rank has a gradient for is not moved, and counts no step
        assert steps == {name: value.item() for name, value in ours.items() if name.endswith("/step")}
        assert min(steps.values()) < max(steps.values()) == step


def test_stopped_and_killed_it_ends_with_the_same_bits(
    two: Run, stopped: Path, start: Start, place: Path
) -> None:
    shutil.copytree(stopped, place / "again")
    assert start("again", "--resume", TOY_SIGNAL="9@5").returncode
    assert not Run(place / "again").finished
    done = start("again", "--resume")
    assert done.returncode == 0, done.stderr
    again = Run(place / "again")
    assert lines(again) == lines(two)
    assert same(weights(two), weights(again))
    assert same(moments(two, 6), moments(again, 6))


def test_one_process_goes_on_where_two_stopped(
    one: Run, stopped: Path, place: Path, registry: Registry
) -> None:
    shutil.copytree(stopped, place / "fewer")
    close(one, train(recipe(CHANGES), place / "fewer", resume=True, registry=registry))


def test_two_processes_go_on_where_one_stopped(one: Run, start: Start, place: Path) -> None:
    shutil.copytree(one.folder, place / "more")
    (place / "more" / "manifest.json").unlink()
    shutil.rmtree(place / "more" / "checkpoints" / "step-00000006")
    done = start("more", "--resume")
    assert done.returncode == 0, done.stderr
    close(one, Run(place / "more"))


def test_rates_schedules_micro_batches_and_steps_left_out_are_those_of_one_process(
    start: Start, place: Path, registry: Registry
) -> None:
    made: Recipe = recipe(
        ALIKE
        | {
            "sources.heard.infinite": [3, 8],
            "objectives.kind": {"name": "groupdro", "classes": 3, "rate": 0.5},
            "encoders.text": {"name": "toy-text", "dropout": 0.0, "tune": {"mode": "gradual"}},
            "encoders.image.tune": {"lr_scale": 0.3, "recompute": True},
            "train.micro_batch": 1,
            "train.clip": 0.05,
            "train.steps": 8,
        }
    )
    path = write(made, place / "much.yaml")
    done = start("much", recipe=path)
    assert done.returncode == 0, done.stderr
    two, alone = Run(place / "much"), train(made, place / "alone", registry=registry)
    assert two.metrics["train/skipped_steps"] == alone.metrics["train/skipped_steps"] == 2
    close(alone, two)


def test_a_rank_holds_half_of_the_moments_and_all_weights(torchrun: Any, place: Path) -> None:
    made = recipe(ALIKE | {"objectives": {"align": OBJECTIVES["contrastive"]}})
    path = write(made, place / "held.yaml")
    done = torchrun(2, holding.__file__, "zero", str(path), str(place), **deepspeed.TOLD)
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((place / f"{rank}.json").read_text()) for rank in range(2))
    assert first["sum"] == second["sum"]  # the weights of both, drawn with other seeds
    assert first["had"].keys() != second["had"].keys()  # one has no sound
    had = sum((first["had"] | second["had"]).values())
    for told in (first, second):
        assert told["left"]
        assert told["moved"]
        assert told["written"] == [2.0]
        assert told["held"]["exp_avg"] == told["held"]["exp_avg_sq"] == pytest.approx(had / 2, rel=0.02)
    assert first["held"]["exp_avg"] + second["held"]["exp_avg"] == had


@pytest.mark.parametrize(
    ("changes", "settings", "said"),
    [
        ({"prior": {"name": "l2"}}, {}, "which does not go with prior: it pulls by gradients that DeepSpeed"),
        ({}, {}, "launched with DeepSpeed, but as one process alone; use --launch deepspeed, or torchrun"),
        ({}, {"zero_stage": "2"}, "stage 1 of DeepSpeed's ZeRO, this asks for stage 2; give `zero_stage: 1`"),
        (
            {},
            {"offload_optimizer_device": "cpu"},
            "DeepSpeed: of deepspeed_config fusion takes `zero_stage: 1`",
        ),
    ],
)
def test_what_does_not_go_with_it_is_refused(
    changes: dict[str, Any],
    settings: dict[str, str],
    said: str,
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deepspeed, "version", lambda name: "0.19.8")
    told = deepspeed.TOLD | {deepspeed.SETTINGS[key]: value for key, value in settings.items()}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match=said):
        train(recipe(ALIKE | changes), tmp_path / "run", registry=registry)
