"""Checkpoints that are whole or not there: stage, write, hash, fsync, rename; only then delete old ones.

Tensors are safetensors, the rest is JSON; nothing is pickled. Since order, augmentation and random
state are functions of (seed, step), a checkpoint needs no state of loaders and generators.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer

from fusion.errors import CheckpointError
from fusion.tensors import write

NAME = re.compile(r"step-\d{8}")
SHARDS = "shard-*.safetensors"
"""The files of a checkpoint that all ranks of a sharded training have written."""


class Checkpoint(NamedTuple):
    """What a training needs to go on."""

    step: int  # steps that are done
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]


def save(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write a checkpoint into `folder` and keep it with the `keep` - 1 before it.

    Raises CheckpointError when it cannot be written; what was there before is untouched.
    """
    final = place(folder, checkpoint.step)
    stage = folder / f".{final.name}.partial"
    try:
        for leftover in folder.glob(".step-*.partial"):  # of a training that was killed while it saved
            shutil.rmtree(leftover, ignore_errors=True)
        stage.mkdir(parents=True)
        write_tensors(stage / "model.safetensors", checkpoint.model)
        write_tensors(stage / "optimizer.safetensors", checkpoint.optimizer)
        (stage / "state.json").write_text(json.dumps({"step": checkpoint.step, **checkpoint.state}), "utf-8")
        digests = {path.name: sha256(path) for path in sorted(stage.iterdir())}
        (stage / "manifest.json").write_text(json.dumps(digests, indent=1), "utf-8")
        for path in (*stage.iterdir(), stage):
            _fsync(path)
        shutil.rmtree(final, ignore_errors=True)
        stage.rename(final)
        _fsync(folder)
    except (OSError, CheckpointError) as error:
        shutil.rmtree(stage, ignore_errors=True)
        kept = _newest_first(folder)
        left = f"{kept[0].name} is untouched" if kept else "there was none before"
        raise CheckpointError(f"cannot save checkpoint {final}: {error}; {left}") from error
    # one of a later step is damaged, otherwise the training would have gone on from there
    older = [path for path in _newest_first(folder) if path.name < final.name]
    for path in {*_newest_first(folder)} - {final, *older[: keep - 1]}:
        shutil.rmtree(path)
    return final


def place(folder: Path, step: int) -> Path:
    """Return where the checkpoint after this many steps is."""
    return folder / f"step-{step:08d}"


def latest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest checkpoint that is what was written, and what is wrong with newer ones."""
    damaged: list[str] = []
    for path in _newest_first(folder):
        try:
            return load(path), damaged
        except CheckpointError as error:
            damaged.append(str(error))
    return None, damaged


def load(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises CheckpointError when any bit of it differs from what was written."""
    verify(path)
    state = json.loads((path / "state.json").read_text("utf-8"))
    model, optimizer = (load_file(path / f"{part}.safetensors") for part in ("model", "optimizer"))
    return Checkpoint(state.pop("step"), model, optimizer, state)


def verify(path: Path) -> None:
    """Compare every file with its SHA-256 in the manifest. Raises CheckpointError."""
    try:
        digests = json.loads((path / "manifest.json").read_text("utf-8"))
        wrong = [name for name, digest in digests.items() if sha256(path / name) != digest]
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"checkpoint {path} is damaged: {error}") from error
    if wrong or not digests:
        raise CheckpointError(f"checkpoint {path} is damaged: {', '.join(wrong) or 'the manifest is empty'}")


def optimizer_tensors(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's state by parameter name, such as "align.text.norm.weight/exp_avg"."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    return {
        f"{names[parameter]}/{key}": value
        for parameter, values in optimizer.state.items()
        for key, value in values.items()
    }


def restore_optimizer(model: nn.Module, optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put the state that `optimizer_tensors` returned back."""
    parameters = dict(model.named_parameters())
    for path, value in tensors.items():
        name, _, key = path.rpartition("/")
        parameter = parameters[name]
        if (
            value.shape == parameter.shape
        ):  # of another layout, such as channels last, fused AdamW mixes it up
            optimizer.state[parameter][key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        else:  # it counts its steps on the device of the parameter, in fp32
            optimizer.state[parameter][key] = value.to(parameter.device)


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as safetensors; shared storage is written for each name. Raises CheckpointError."""
    try:
        write(path, tensors, metadata)
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error}") from error


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _newest_first(folder: Path) -> list[Path]:
    whole = [path for path in folder.glob("step-*") if NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(whole, reverse=True)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
