"""Checkpoints that are whole or not there: stage, write, hash, fsync, rename; only then delete old ones.

Tensors are safetensors, the rest is JSON; nothing is pickled. Since order, augmentation and random
state are functions of (seed, step), a checkpoint needs no state of loaders and generators.
"""

import fnmatch
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer

from fusion.errors import CheckpointError
from fusion.files import fsync, parse_json
from fusion.manifest import CHANGED, fault
from fusion.tensors import write

NAME = re.compile(r"step-\d{8}")
MODEL, OPTIMIZER, STATE, MANIFEST = (
    "model.safetensors",
    "optimizer.safetensors",
    "state.json",
    "manifest.json",
)
PARTS = (MODEL, OPTIMIZER, STATE)
SHARDS = "shard-*.safetensors"
"""What a checkpoint has in place of the first two where each rank has written its shards."""
Best = Callable[[int], int | None]


def _none(until: int) -> None:
    return None


class Checkpoint(NamedTuple):
    """What a training needs to go on."""

    step: int  # steps that are done
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]


def save(folder: Path, checkpoint: Checkpoint, keep: int, best: Best = _none) -> Path:
    """Write a checkpoint into `folder` and keep it with the `keep` - 1 before it.

    The best one up to each that is kept, which `best` tells by its step, is kept too: newer ones may turn out
    to be damaged. Raises CheckpointError when it cannot be written; what was there before is untouched.
    """
    final = place(folder, checkpoint.step)
    stage = folder / f".{final.name}.partial"
    try:
        clear(folder)
        stage.mkdir(parents=True)
        state = json.dumps({"step": checkpoint.step, **checkpoint.state}).encode()
        (stage / STATE).write_bytes(state)
        digests = {
            MODEL: write_tensors(stage / MODEL, checkpoint.model),
            OPTIMIZER: write_tensors(stage / OPTIMIZER, checkpoint.optimizer),
            STATE: hashlib.sha256(state).hexdigest(),
        }
        (stage / MANIFEST).write_bytes(manifest(digests))
        for path in (*stage.iterdir(), stage):
            fsync(path)
        if final.exists():
            delete(final)
        stage.rename(final)
        for path in (folder, folder.parent):
            fsync(path)
    except (OSError, CheckpointError) as error:
        shutil.rmtree(stage, ignore_errors=True)
        kept = all_in(folder)
        left = f"{kept[0].name} is untouched" if kept else "there was none before"
        raise CheckpointError(f"cannot save checkpoint {final}: {error}; {left}") from error
    prune(final, keep, best)
    return final


def prune(final: Path, keep: int, best: Best = _none) -> None:
    """Delete what is neither among the `keep` newest up to this checkpoint nor the best up to one of them."""
    folder = final.parent
    # one of a later step is damaged, otherwise the training would have gone on from there
    older = [path for path in all_in(folder) if path.name < final.name]
    kept = [final, *older[: keep - 1]]
    chosen = [step for path in kept if (step := best(int(path.name[-8:]))) is not None]
    for path in {*all_in(folder)} - {*kept, *(place(folder, step) for step in chosen)}:
        try:
            delete(path)
        except OSError as error:
            raise CheckpointError(f"cannot delete checkpoint {path}: {error}; delete it yourself") from error


def delete(path: Path) -> None:
    """Delete a checkpoint; when it is killed meanwhile, no half of one is left to be taken for damaged."""
    gone = path.with_name(f".{path.name}.gone")
    path.rename(gone)
    shutil.rmtree(gone)


def clear(folder: Path) -> None:
    """Delete what a training has left that was killed while it wrote or deleted a checkpoint."""
    for leftover in folder.glob(".step-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def place(folder: Path, step: int) -> Path:
    """Return where the checkpoint after this many steps is."""
    return folder / f"step-{step:08d}"


def latest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest checkpoint that is what was written, and what is wrong with newer ones."""
    damaged: list[str] = []
    for path in all_in(folder):
        try:
            return load(path), damaged
        except CheckpointError as error:
            damaged.append(str(error))
    return None, damaged


def load(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises CheckpointError when any bit of it differs from what was written."""
    found = damage(path)
    if found:
        told = ", ".join(name if fault == CHANGED else f"{name} ({fault})" for name, fault in found.items())
        raise CheckpointError(f"checkpoint {path} is damaged: {told}")
    try:
        state = parse_json((path / STATE).read_bytes())
        model, optimizer = (load_file(path / part) for part in (MODEL, OPTIMIZER))
        return Checkpoint(state.pop("step"), model, optimizer, state)
    except (ValueError, LookupError, AttributeError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"checkpoint {path} is none: {error}") from error  # and says that it is one


def parts(path: Path) -> tuple[str, ...]:
    """Return the files that a checkpoint should have beside its manifest."""
    shards = sorted(part.name for part in path.glob(SHARDS))
    return (*shards, STATE) if shards else PARTS


def damage(path: Path) -> dict[str, str]:
    """Compare every file with its SHA-256 in the manifest; return what is wrong, by the file's name.

    The manifest itself has to be, to the byte, what is written for what it says.
    """
    try:
        written = (path / MANIFEST).read_bytes()
    except OSError as error:
        return {MANIFEST: str(error.strerror)}
    try:
        digests = parse_json(written)
    except ValueError:
        return {MANIFEST: CHANGED}
    if written != manifest(digests) or not isinstance(digests, dict) or not _complete({*digests}):
        return {MANIFEST: CHANGED}
    faults = {name: fault(path / name, digest) for name, digest in digests.items()}
    hidden = (part.name for part in path.iterdir() if not part.name.startswith("."))
    return {name: wrong for name, wrong in faults.items() if wrong} | dict.fromkeys(
        sorted({*hidden} - {MANIFEST, *digests}), "does not belong there"
    )


def _complete(names: set[str]) -> bool:
    return names == {*PARTS} or (STATE in names and 1 < len(names) == 1 + len(fnmatch.filter(names, SHARDS)))


def all_in(folder: Path) -> list[Path]:
    """Return the checkpoints that are there, whole or not, the newest first."""
    found = [path for path in folder.glob("step-*") if NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, reverse=True)


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
) -> str:
    """Write tensors as safetensors and return the SHA-256. Raises CheckpointError."""
    try:
        return write(path, tensors, metadata)
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error}") from error


def manifest(digests: object) -> bytes:
    """Return how a manifest of these SHA-256 is written."""
    return json.dumps(digests, indent=1).encode()
