"""Start a command again on several processes, as a preset or a configuration file of Accelerate says."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from fusion.errors import TrainingError, unknown
from fusion.launch import deepspeed

ELASTIC = "start `torchrun` on every machine, as docs/scale.md shows"
DIVIDED = ("FSDP", "DEEPSPEED")


def start(asked: str, words: Sequence[str]) -> NoReturn:
    """Become the launcher of `fusion` with these words: signals and exit codes are then its own.

    Raises TrainingError for what cannot be launched as asked.
    """
    command, environment = plan(asked, words)
    os.execve(command[0], command, os.environ | environment)  # accelerate or torchrun  # nosec B606


def plan(asked: str, words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the command that runs `fusion` with these words, and what its environment has besides.

    `asked` is the name of a preset or the path of a file. Raises TrainingError.
    """
    if "WORLD_SIZE" in os.environ:
        raise TrainingError(
            f"--launch {asked}: this is one of {os.environ['WORLD_SIZE']} processes already; give it, or "
            "torchrun or `accelerate launch`, not both"
        )
    path = _find(asked)
    configuration = _read(path)
    kind = str(configuration.get("distributed_type", "NO")).upper()
    machines = int(configuration.get("num_machines") or 1)
    told = _told(asked, kind, configuration)
    run = ["-m", "fusion", *_others(words)]
    if configuration.get("use_cpu") and kind in ("MULTI_CPU", "NO", *DIVIDED):
        if machines > 1:
            raise TrainingError(f"--launch {asked}: for CPUs of {machines} machines {ELASTIC}")
        # on a CPU `accelerate launch` starts one process, whatever is asked
        local = int(configuration.get("num_processes") or 1)
        launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={local}"]
    elif kind in ("MULTI_GPU", *DIVIDED):
        if kind == "DEEPSPEED" and machines > 1:  # Accelerate would go to the others by pdsh
            raise TrainingError(f"--launch {asked}: for DeepSpeed on {machines} machines {ELASTIC}")
        local = _local(asked, configuration, machines, least=1 if kind == "FSDP" else 2)
        launcher = [
            "accelerate.commands.launch",
            f"--config_file={path}",
            f"--num_processes={local * machines}",
        ]
        told = {}  # Accelerate does
    else:
        raise TrainingError(_refusal(asked, kind))
    threads = max(1, (os.cpu_count() or 1) // local)
    given = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(threads)}
    return [sys.executable, "-m", *launcher, *run], told | given


def presets() -> dict[str, Path]:
    """Return the configuration files that fusion brings along, by name."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yaml"))}


def _find(asked: str) -> Path:
    if asked in presets():
        return presets()[asked]
    path = Path(asked)
    if not path.is_file():
        raise TrainingError(
            f"--launch: {unknown('preset', asked, presets())}; or give a file that `accelerate config` wrote"
        )
    return path


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TrainingError(f"--launch: cannot read {path}: {error}") from error
    if not isinstance(found, dict) or "distributed_type" not in found:
        raise TrainingError(
            f"--launch: {path} is no configuration of Accelerate: it has no distributed_type; let "
            "`accelerate config` write one"
        )
    return found


def _told(asked: str, kind: str, configuration: dict[str, Any]) -> dict[str, str]:
    """Return by what the processes know how the training is divided. Raises TrainingError."""
    given = configuration.get(f"{kind.lower()}_config") or {}
    if kind == "FSDP":
        if str(given.get("fsdp_version", given.get("version")) or 1) != "2":
            raise TrainingError(
                f"--launch {asked}: fusion shards by FSDP2; give `fsdp_version: 2` in fsdp_config"
            )
        return {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
    if kind == "DEEPSPEED":
        deepspeed.expect_stage_1(given, f"--launch {asked}")
        deepspeed.installed()
        return deepspeed.TOLD
    return {}


def _local(asked: str, configuration: dict[str, Any], machines: int, *, least: int) -> int:
    """Return the processes of this machine: what the file says, otherwise one for each GPU."""
    import torch

    gpus = torch.cuda.device_count()
    every = configuration.get("num_processes")
    local = gpus if every is None else int(every) // machines
    if gpus == 0:
        raise TrainingError(
            f"--launch {asked} needs GPUs, and this machine has none; --launch cpu2 trains on two processes "
            "of its CPU"
        )
    if local > gpus:
        raise TrainingError(f"--launch {asked} asks for {local} processes, but this machine has {gpus} GPUs")
    if local * machines < least:
        raise TrainingError(
            f"--launch {asked} is for {least} GPUs or more, but this machine has {gpus}; leave it out"
        )
    return local


def _refusal(asked: str, kind: str) -> str:
    return (
        f"--launch {asked}: fusion does not train with distributed_type {kind}; known: MULTI_CPU, MULTI_GPU, "
        f"FSDP with fsdp_version 2, DEEPSPEED with zero_stage 1; presets: {', '.join(presets())}"
    )


def _others(words: Sequence[str]) -> list[str]:
    """Return the words without `--launch NAME`."""
    kept: list[str] = []
    waiting = iter(words)
    for word in waiting:
        if word == "--launch":
            next(waiting, None)
        elif not word.startswith("--launch="):
            kept.append(word)
    return kept
