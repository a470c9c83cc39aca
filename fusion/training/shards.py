"""Checkpoints that all ranks write together, through torch.distributed.checkpoint: whole or not there.

The tensors are in files of safetensors, one from each rank, so nothing is pickled; any number of ranks reads
them. State and manifest are as those that one process writes.
"""

import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException

from fusion.errors import CheckpointError
from fusion.files import fsync, parse_json, sha256
from fusion.manifest import CHANGED
from fusion.training.checkpoint import MANIFEST, STATE, Best, all_in, clear, delete, manifest, place, prune

T = TypeVar("T")


class Kind(NamedTuple):
    """The type and the shape of a tensor that a checkpoint has."""

    dtype: torch.dtype
    shape: tuple[int, ...]


def save(
    folder: Path,
    step: int,
    tensors: dict[str, Tensor],
    state: Mapping[str, Any],
    keep: int,
    best: Best,
    hosts: Any,
) -> None:
    """Write a checkpoint into `folder` and keep it with the `keep` - 1 before it, and the best of them.

    All ranks call it; `hosts` is a group of them that talks on the CPU. Each writes and hashes a part. Raises
    CheckpointError on all of them when one cannot write; what was there before is untouched.
    """
    final = place(folder, step)
    stage = folder / f".{final.name}.partial"
    main = dist.get_rank(hosts) == 0
    try:
        _together(lambda: _begin(stage) if main else None, hosts)
        with _plain_errors():
            writer = _storage().HuggingFaceStorageWriter(str(stage), save_distributed=True)
            state_dict_saver.save(tensors, storage_writer=writer, process_group=hosts)
        parts = _together(lambda: {path.name: _settled(path) for path in _mine(stage, hosts)}, hosts)
        digests = {name: digest for part in parts for name, digest in part.items()}
        _together(lambda: _end(stage, final, {"step": step, **state}, digests) if main else None, hosts)
    except CheckpointError as error:
        if main:
            shutil.rmtree(stage, ignore_errors=True)
        raise CheckpointError(f"cannot save checkpoint {final}: {error}") from error
    _together(lambda: prune(final, keep, best) if main else None, hosts)


def latest(folder: Path, hosts: Any) -> tuple[Path | None, list[str]]:
    """Return the newest checkpoint that is what was written, and what is wrong with newer ones.

    All ranks call it, and each hashes a part.
    """
    damaged: list[str] = []
    names = [path.name for path in all_in(folder)]
    for name in _together(lambda: names, hosts)[0]:  # all ranks go by what the first one sees
        path = folder / name
        try:
            parts = _together(partial(_wrong, path, hosts), hosts)
        except CheckpointError as error:
            damaged.append(f"checkpoint {path} is damaged: {error}")
            continue
        wrong = sorted({name for part in parts for name in part})
        if not wrong:
            return path, damaged
        damaged.append(f"checkpoint {path} is damaged: {', '.join(wrong)}")
    return None, damaged


def kinds(path: Path) -> dict[str, Kind]:
    """Return what a checkpoint has, by name."""
    found = _storage().HuggingFaceStorageReader(str(path)).read_metadata().state_dict_metadata
    return {name: Kind(known.properties.dtype, tuple(known.size)) for name, known in found.items()}


def read(path: Path, into: dict[str, Tensor], hosts: Any) -> dict[str, Any]:
    """Fill tensors, whole or in shards of any number of ranks; return the state. All ranks call it."""
    with _plain_errors():
        state_dict_loader.load(
            into, storage_reader=_storage().HuggingFaceStorageReader(str(path)), process_group=hosts
        )
    return parse_json((path / STATE).read_text("utf-8"))  # type: ignore[no-any-return]


def possible() -> bool:
    """Return whether this release of torch writes shards as safetensors."""
    return find_spec("torch.distributed.checkpoint.hf_storage") is not None


def _storage() -> Any:
    return import_module("torch.distributed.checkpoint.hf_storage")


def _begin(stage: Path) -> None:
    clear(stage.parent)
    stage.mkdir(parents=True)


def _end(stage: Path, final: Path, state: Mapping[str, Any], digests: dict[str, str]) -> None:
    (stage / STATE).write_text(json.dumps(state), "utf-8")
    digests = {**digests, STATE: _settled(stage / STATE)}
    (stage / MANIFEST).write_bytes(manifest(digests))
    for path in (stage / MANIFEST, stage):
        fsync(path)
    if final.exists():
        delete(final)
    stage.rename(final)
    fsync(final.parent)


def _mine(folder: Path, hosts: Any) -> list[Path]:
    """Return the files that this rank looks after."""
    files = sorted(path for path in folder.iterdir() if path.name != MANIFEST)
    return files[dist.get_rank(hosts) :: dist.get_world_size(hosts)]


def _settled(path: Path) -> str:
    """Return the SHA-256 of a file that is on the disk, and not only on its way there."""
    fsync(path)
    return sha256(path)


def _wrong(path: Path, hosts: Any) -> list[str]:
    """Return which files of this rank's part of a checkpoint are not what was written."""
    try:
        written = (path / MANIFEST).read_bytes()
        digests = parse_json(written)
        if written != manifest(digests):
            raise CheckpointError(f"{MANIFEST} {CHANGED}")
        missing = [name for name in digests if not (path / name).is_file()]
        return missing + [part.name for part in _mine(path, hosts) if digests.get(part.name) != sha256(part)]
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"{MANIFEST}: {error}") from error


def _together(work: Callable[[], T], hosts: Any) -> list[T]:
    """Return what this work gave on every rank. Raises CheckpointError on all of them where one failed."""
    outcome: T | CheckpointError
    try:
        outcome = work()
    except (OSError, CheckpointError) as error:
        outcome = CheckpointError(str(error))
    outcomes: list[Any] = [None] * dist.get_world_size(hosts)
    dist.all_gather_object(outcomes, outcome, group=hosts)
    failed = [found for found in outcomes if isinstance(found, CheckpointError)]
    if failed:
        raise failed[0]
    return outcomes


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Raise CheckpointError for what torch.distributed.checkpoint raises, which is no Exception."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of what is done with its own types
            yield
    except CheckpointException as error:
        told = dict.fromkeys(str(failed[0]) for failed in error.failures.values())
        raise CheckpointError("; ".join(told)) from error
