"""--launch becomes the right launcher, hands all else on, and refuses what it cannot start."""

import os
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.commands import launch as accelerate
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType
from accelerate.utils.launch import prepare_deepspeed_cmd_env

from fusion import TrainingError
from fusion.launch import deepspeed
from fusion.launch.start import plan, presets

WORDS = ["train", "mine.yaml", "train.steps=3", "--launch", "NAME", "--out", "a folder"]
HANDED = ["-m", "fusion", "train", "mine.yaml", "train.steps=3", "--out", "a folder"]


@pytest.fixture(autouse=True)
def unlaunched(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(deepspeed, "version", lambda name: "0.19.8")  # whether it is there or not


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Say that this machine has so many GPUs."""
    return lambda count: monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def written(folder: Path, text: str) -> str:
    path = folder / "own.yaml"
    path.write_text(text)
    return str(path)


def test_presets_are_configurations_that_accelerate_reads() -> None:
    kinds = {name: load_config_from_file(str(path)).distributed_type for name, path in presets().items()}
    assert kinds == {
        "cpu2": DistributedType.MULTI_CPU,
        "ddp": DistributedType.MULTI_GPU,
        "deepspeed": DistributedType.DEEPSPEED,
        "fsdp2": DistributedType.FSDP,
    }
    assert load_config_from_file(str(presets()["fsdp2"])).fsdp_config == {"fsdp_version": 2}
    assert load_config_from_file(str(presets()["deepspeed"])).deepspeed_config == {"zero_stage": 1}


def test_on_a_cpu_torchrun_starts_the_processes_and_shares_the_threads() -> None:
    command, environment = plan("cpu2", WORDS)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    assert command == launcher + HANDED
    assert environment == {"OMP_NUM_THREADS": str(max(1, os.cpu_count() // 2))}  # type: ignore[operator]


def test_threads_that_were_asked_for_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert plan("cpu2", WORDS)[1] == {}


@pytest.mark.parametrize("name", ["ddp", "fsdp2", "deepspeed"])
def test_on_gpus_accelerate_starts_one_process_for_each(name: str, gpus: Any) -> None:
    gpus(4)
    command, _ = plan(name, ["train", "mine.yaml", "train.steps=3", f"--launch={name}", "--out", "a folder"])
    launcher = [sys.executable, "-m", "accelerate.commands.launch"]
    assert command == [*launcher, f"--config_file={presets()[name]}", "--num_processes=4", *HANDED]


def test_a_file_of_several_machines_counts_the_processes_of_all(gpus: Any, tmp_path: Path) -> None:
    gpus(8)
    own = written(tmp_path, "distributed_type: MULTI_GPU\nnum_machines: 4\nmachine_rank: 2\n")
    assert plan(own, WORDS)[0][3:5] == [f"--config_file={own}", "--num_processes=32"]


def test_shards_on_a_cpu_are_told_to_the_processes(tmp_path: Path) -> None:
    own = written(
        tmp_path,
        "distributed_type: FSDP\nuse_cpu: true\nnum_processes: 3\nfsdp_config: {fsdp_version: 2}\n",
    )
    command, environment = plan(own, WORDS)
    assert command[4] == "--nproc-per-node=3"
    assert environment.items() >= {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}.items()


def test_accelerate_tells_the_processes_what_fusion_reads(gpus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(4)
    handed: list[Any] = []
    monkeypatch.setattr(accelerate, "deepspeed_launcher", handed.append)
    accelerate.launch_command(accelerate.launch_command_parser().parse_args(plan("deepspeed", WORDS)[0][3:]))
    told = prepare_deepspeed_cmd_env(handed[0])[1]
    assert told.items() >= deepspeed.TOLD.items()
    assert [name for name in deepspeed.SETTINGS.values() if name in told] == [
        "ACCELERATE_DEEPSPEED_ZERO_STAGE"
    ]
    assert handed[0].nproc_per_node == "4"


def test_parts_on_a_cpu_are_told_to_the_processes(tmp_path: Path) -> None:
    text = "distributed_type: DEEPSPEED\nuse_cpu: true\nnum_processes: 2\ndeepspeed_config: {zero_stage: 1}\n"
    command, environment = plan(written(tmp_path, text), WORDS)
    assert command[2:5] == ["torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    told = {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "1"}
    assert environment.items() >= told.items()


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, r"ZeRO needs DeepSpeed: pip install 'fusion-bind\[deepspeed\]'; --launch fsdp2 needs"),
        ("0.18.2", r"ZeRO needs DeepSpeed 0\.19\.\*, this is 0\.18\.2: pip install"),
    ],
)
def test_deepspeed_has_to_be_there_and_known(
    found: str | None, said: str, gpus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if found is None:
            raise PackageNotFoundError(name)
        return found

    gpus(2)
    monkeypatch.setattr(deepspeed, "version", version)
    with pytest.raises(TrainingError, match=said):
        plan("deepspeed", WORDS)


ZERO = "distributed_type: DEEPSPEED\ndeepspeed_config: "


@pytest.mark.parametrize(
    ("asked", "count", "said"),
    [
        (
            "dpp",
            0,
            "unknown preset 'dpp'; did you mean 'ddp'? known: cpu2, ddp, deepspeed, fsdp2; or give a file",
        ),
        ("ddp", 0, "--launch ddp needs GPUs, and this machine has none; --launch cpu2 trains"),
        ("ddp", 1, "--launch ddp is for 2 GPUs or more, but this machine has 1; leave it out"),
        ("deepspeed", 1, "--launch deepspeed is for 2 GPUs or more, but this machine has 1; leave it out"),
        (f"{ZERO}{{zero_stage: 3}}", 2, "stage 1 of DeepSpeed's ZeRO, this asks for stage 3; give"),
        (f"{ZERO}{{gradient_clipping: auto}}", 2, "this asks for stage 2; give"),
        (f"{ZERO}{{deepspeed_config_file: a}}", 2, "`zero_stage: 1` alone; leave out deepspeed_config_file;"),
        (f"{ZERO}{{zero_stage: 1, gradient_clipping: 1.0}}", 2, "leave out gradient_clipping; clipping is"),
        (f"{ZERO}{{zero_stage: 1}}\nnum_machines: 2", 2, "for DeepSpeed on 2 machines start `torchrun`"),
        ("distributed_type: MULTI_GPU\nnum_processes: 8", 2, "asks for 8 processes, but this machine has 2"),
        ("distributed_type: XLA", 2, "does not train with distributed_type XLA; known: MULTI_CPU, MULTI_GPU"),
        ("distributed_type: FSDP", 2, "fusion shards by FSDP2; give `fsdp_version: 2` in fsdp_config"),
        (
            "distributed_type: MULTI_CPU\nuse_cpu: true\nnum_machines: 2",
            0,
            "start `torchrun` on every machine",
        ),
        ("steps: 3", 2, "it has no distributed_type; let `accelerate config` write one"),
        ("a: [", 2, "cannot read"),
    ],
)
def test_what_cannot_be_launched_is_said(
    asked: str, count: int, said: str, gpus: Any, tmp_path: Path
) -> None:
    gpus(count)
    with pytest.raises(TrainingError) as refused:
        plan(asked if ":" not in asked else written(tmp_path, asked), WORDS)
    assert said in str(refused.value)


def test_a_process_of_several_launches_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        TrainingError, match=r"--launch cpu2: this is one of 2 processes already; give it, or"
    ):
        plan("cpu2", WORDS)
