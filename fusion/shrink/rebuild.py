"""Build the model of a run from its folder: the recipe, what compressed it, and the weights."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from fusion import build
from fusion.compression import Compression
from fusion.errors import FusionError, RunError
from fusion.files import parse_json, sha256
from fusion.registry import Registry
from fusion.run import Run
from fusion.tensors import load_tensors

if TYPE_CHECKING:
    from fusion.model import Model

FILE = "compression.json"
"""What compressed the model of a run, in the order in which it was applied; a run of a training has none."""


class Applied(NamedTuple):
    """A compression that was applied: its name, its options, and what it said of the model."""

    name: str
    options: dict[str, Any]
    record: dict[str, Any]


def applied(run: Run) -> list[Applied]:
    """Return what compressed the model of a finished run, in order. Raises RunError for a damaged file."""
    digest = run.manifest["files"].get(FILE)
    if digest is None:
        return []
    path = run.folder / FILE
    if not path.is_file() or sha256(path) != digest:
        raise RunError(f"{path} is missing or damaged: its SHA-256 is not {digest}, as the manifest has it")
    try:
        return [_applied(given) for given in parse_json(path.read_bytes())]
    except (ValueError, TypeError) as error:
        raise RunError(f"{path} is damaged: {error}; copy the run again, or compress it again") from error


def write(run: Run, done: Sequence[Applied]) -> list[Path]:
    """Write what compressed the model of a run, if anything did; return the files."""
    if not done:
        return []
    run.write_json(FILE, [one._asdict() for one in done])
    return [run.folder / FILE]


@torch.no_grad()
def rebuild(run: Run, registry: Registry, expanded: bool = False) -> "Model":
    """Return the model of a finished run with its weights, on the CPU; `expanded` to ordinary modules.

    Raises RunError when its files do not fit together, and PluginError when a component is missing.
    """
    folders = {name: run.assets / name for name in run.recipe.modalities}
    model = build.build_model(run.recipe, registry, folders)
    done = applied(run)
    chosen = [build.build_compression(one.name, one.options, registry) for one in done]
    for compression, one in zip(chosen, done, strict=True):
        _restore(compression, one, model, run)
    weights = load_tensors(run.model_file)
    try:
        _load(model, weights)
    except RuntimeError as error:
        first = " ".join(str(error).split())[:300]
        raise RunError(
            f"{run.model_file} holds other tensors than {run.folder} describes: {first}; install the "
            "versions of plugins that its manifest.json names"
        ) from error
    for compression, one in zip(reversed(chosen), reversed(done), strict=True) if expanded else ():
        compression.expand(model, one.record)
    return model


@torch.no_grad()
def undo(model: "Model", done: Sequence[Applied], registry: Registry) -> tuple[list[str], list[Applied]]:
    """Put ordinary modules in place of those of compressions.

    Return the names of the compressions whose modules those were, and what has no way back, in the order in
    which it was applied.
    """
    undone, left = [], []
    for one in reversed(done):
        compression, before = build.build_compression(one.name, one.options, registry), _form(model)
        compression.expand(model, one.record)
        if _form(model) != before:
            undone.append(one.name)
        if type(compression).expand is Compression.expand:
            left.append(one)
    return undone[::-1], left[::-1]


def _form(model: "Model") -> dict[str, object]:
    """Return the class of each module and the shape of each parameter, by name."""
    parts: dict[str, object] = {f"{name}.": type(part) for name, part in model.named_modules()}
    return parts | {name: part.shape for name, part in model.named_parameters()}


def _load(model: "Model", weights: Mapping[str, Tensor]) -> None:
    own = model.state_dict()
    for name in own.keys() & weights.keys():  # torch would take codes for numbers
        if own[name].is_floating_point() != weights[name].is_floating_point():
            raise RuntimeError(f"{name} is {weights[name].dtype} there, and {own[name].dtype} in the model")
    model.load_state_dict(weights)


def _applied(given: Any) -> Applied:
    match given:
        case {"name": str(name), "options": dict(options), "record": dict(record)}:
            return Applied(name, options, record)
    raise ValueError(f"{json.dumps(given)[:80]} is not an object with name, options and record")


def _restore(compression: Compression, one: Applied, model: "Model", run: Run) -> None:
    try:
        compression.restore(model, one.record)
    except FusionError:
        raise
    except Exception as error:
        raise RunError(
            f"{run.folder / FILE}: {one.name} cannot restore the model from what it has written: {error!r}; "
            "install the versions of plugins that manifest.json names, or compress the run again"
        ) from error
