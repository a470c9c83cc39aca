"""FSDP2 on two processes: the losses and weights of one, half of the state each, checkpoints of all ranks."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from fusion import Recipe, Registry, Run, TrainingError, train
from fusion.errors import RunError
from fusion.training import shards
from fusion.training.verify import verify
from tests.training import holding
from tests.training.test_ranks import OBJECTIVES
from tests.training.toys import ALIKE, alike, close, lines, recipe, same, weights, write

SHARDS = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
# a rank has no sound in some steps, and no rank has one in others
CHANGES = ALIKE | {
    "objectives": OBJECTIVES,
    "train.checkpoint_every": 2,
    "encoders.text.tune": {"recompute": True},
}
BEST = {
    "train.lr": 0.05,
    "best": {"by": "-subsets/image/classify/entropy", "sources": {"held": {"name": "toy", "rows": 13}}},
}
Start = Callable[..., Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sharded")


@pytest.fixture(scope="module")
def start(torchrun: Any, place: Path) -> Start:
    """Train in shards on so many processes into a folder."""
    path = write(recipe(CHANGES), place / "toy.yaml")

    def run(processes: int, name: str, *more: str, recipe: Path = path, **env: str) -> Any:
        words = ("-m", "fusion", "train", str(recipe), "--out", str(place / name), *more)
        return torchrun(processes, *words, **SHARDS, **env)

    return run


@pytest.fixture(scope="module")
def one(registry: Registry, place: Path) -> Run:
    return train(recipe(CHANGES), place / "one", registry=registry)


@pytest.fixture(scope="module")
def two(start: Start, place: Path) -> Run:
    done = start(2, "two")
    assert done.returncode == 0, done.stderr
    return Run(place / "two")


@pytest.fixture(scope="module")
def stopped(start: Start, place: Path) -> Path:
    """A run that was stopped after step 4, and saved after steps 2 and 4."""
    done = start(2, "stopped", TOY_SIGNAL="2@2")
    assert "stopped after step 4; go on with --resume" in done.stderr
    return place / "stopped"


def test_losses_norms_and_weights_are_those_of_one_process(one: Run, two: Run) -> None:
    assert two.manifest["sharded"]
    assert not one.manifest["sharded"]
    close(one, two)


def test_every_rank_writes_its_part_and_nothing_is_pickled(two: Run) -> None:
    folders = sorted(two.checkpoints.iterdir())
    assert [folder.name for folder in folders] == ["step-00000004", "step-00000006"]
    for folder in folders:
        files = sorted(folder.iterdir())
        assert [file.suffix for file in files] == [".json", ".safetensors", ".safetensors", ".json"]
        assert {*json.loads((folder / "manifest.json").read_text())} == {
            file.name for file in files if file.name != "manifest.json"
        }
        for file in files[1:3]:
            with safe_open(file, "pt") as tensors:
                assert tensors.get_slice("model/encoders.image.layer.weight").get_shape() == [2, 4]
                assert tensors.get_slice("optimizer/encoders.image.layer.weight/exp_avg").get_shape() == [
                    2,
                    4,
                ]


def test_a_run_is_verified_file_by_file(two: Run, registry: Registry) -> None:
    found = verify(two, registry)
    assert found.whole
    assert len([name for name in found.files if "/shard-0000" in name]) == 2 * 2
    assert not any("optimizer.safetensors" in name for name in found.files)


def test_resuming_on_as_many_processes_ends_with_the_same_bits(
    two: Run, stopped: Path, start: Start, place: Path
) -> None:
    shutil.copytree(stopped, place / "again")
    done = start(2, "again", "--resume")
    assert done.returncode == 0, done.stderr
    again = Run(place / "again")
    assert lines(again) == lines(two)
    assert same(weights(again), weights(two))


def test_a_damaged_checkpoint_is_passed_over_and_another_number_of_processes_goes_on(
    one: Run, stopped: Path, start: Start, place: Path
) -> None:
    shutil.copytree(stopped, place / "fewer")
    [newest] = (place / "fewer" / "checkpoints").glob("step-00000004")
    [shard] = newest.glob("shard-00002-*")
    bits = bytearray(shard.read_bytes())
    bits[-1] ^= 1
    shard.write_bytes(bits)
    done = start(1, "fewer", "--resume")
    assert done.returncode == 0, done.stderr
    assert f"checkpoint {newest} is damaged: {shard.name}; taking the one before" in done.stderr
    alike(weights(one), weights(Run(place / "fewer")))


def test_the_best_by_a_metric_is_that_of_one_process(start: Start, registry: Registry, place: Path) -> None:
    alone = train(recipe(CHANGES | BEST), place / "best-of-one", registry=registry)
    assert alone.metrics["train/best_step"] == 2  # of 6: the weights are not those that are in memory
    path = write(alone.recipe, place / "best.yaml")
    done = start(2, "best-of-two", recipe=path)
    assert done.returncode == 0, done.stderr
    run = Run(place / "best-of-two")
    for ours, theirs in zip(jsonl(alone), jsonl(run), strict=True):
        assert theirs == {"step": ours["step"], "score": pytest.approx(ours["score"], abs=1e-5)}
    assert run.metrics["train/best_step"] == 2
    alike(weights(alone), weights(run))
    assert sorted(path.name for path in run.checkpoints.iterdir()) == [
        f"step-{step:08d}" for step in (2, 4, 6)
    ]
    (run.folder / "manifest.json").unlink()  # as one that was killed in its evaluation
    left = run.checkpoints / ".step-00000000.gone"
    left.mkdir()
    done = start(2, "best-of-two", "--resume", recipe=path)
    assert done.returncode == 0, done.stderr
    assert not left.exists()
    alike(weights(alone), weights(run))


def jsonl(run: Run) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run.folder / "scores.jsonl").read_text("utf-8").splitlines()]


def test_shards_are_not_taken_for_whole_weights(registry: Registry, stopped: Path) -> None:
    with pytest.raises(RunError, match=r"stopped was saved with FSDP2; launch with it to go on"):
        train(recipe(CHANGES), stopped, resume=True, registry=registry)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"encoders.text": {"name": "toy-text", "tune": {"mode": "gradual"}}},
            "encoders.text.tune.mode: what",
        ),
        ({"prior": {"name": "l2"}}, "prior: it pulls whole parameters"),
        (
            {"train.adversarial": {"radius": {"image": 0.1}}},
            "train.adversarial: it encodes without the wrapper",
        ),
        ({"train.compile": True}, "train.compile: layers are gathered between"),
        ({"train.micro_batch": 2}, "train.micro_batch: each process cuts"),
    ],
)
def test_what_does_not_go_with_shards_is_refused(
    changes: dict[str, Any], said: str, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: Recipe = recipe(ALIKE | changes)
    for name, value in SHARDS.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match=f"launched with FSDP2, which does not go with {said}"):
        train(made, tmp_path / "run", registry=registry)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"FSDP_VERSION": "1"}, "launched with FSDP1; fusion shards by FSDP2: give `fsdp_version: 2`"),
        ({"FSDP_OFFLOAD_PARAMS": "true"}, "launched with fsdp_offload_params, which fusion does not support"),
        ({}, "launched with FSDP2, but as one process alone; use --launch fsdp2, or torchrun"),
    ],
)
def test_another_sharding_is_refused(
    environment: dict[str, str],
    said: str,
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (SHARDS | environment).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TrainingError, match=said):
        train(recipe(ALIKE), tmp_path / "run", registry=registry)


def test_a_torch_that_writes_no_shards_is_refused(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SHARDS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(shards, "possible", lambda: False)
    with pytest.raises(TrainingError, match=r"FSDP2 needs torch 2\.9 or newer, this is 2\."):
        train(recipe(ALIKE), tmp_path / "run", registry=registry)


def test_a_rank_holds_half_of_an_encoder_and_of_its_optimizer_and_lacks_no_input(
    torchrun: Any, place: Path
) -> None:
    fused = {"fuser": {"name": "mean"}, "objectives": {"align": OBJECTIVES["contrastive"]}}
    path = write(recipe(ALIKE | fused), place / "held.yaml")
    done = torchrun(2, holding.__file__, "sharded", str(path), str(place), **SHARDS)
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((place / f"{rank}.json").read_text()) for rank in range(2))
    assert first["whole"] == 3 * (4 * 4 + 4)
    assert {*first["absent"], *second["absent"]} == {"audio"}  # of one rank alone
    assert len(first["absent"]) + len(second["absent"]) == 1
    assert first["drawn"] != second["drawn"]
    for told in (first, second):
        assert told["begun"] == pytest.approx(first["drawn"], rel=1e-12)
        assert told["left"]
        assert told["moved"]
        assert sorted(told["inputs"]) == ["audio", "image", "text"]
        assert told["of none"] == []
        assert told["held"] == dict.fromkeys(("parameters", "gradients", "exp_avg", "exp_avg_sq"), 30)
