"""What an earlier run hands on: the weights that it wrote, without what tunings have added to them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from fusion import build
from fusion.errors import RunError
from fusion.files import sha256
from fusion.recipe import Recipe
from fusion.registry import Registry
from fusion.run import Run
from fusion.signature import expect_none_required, expect_trusted
from fusion.tuning import Tuning


def verify(file: Path, given: str, run: Run | None, asked: str) -> str:
    """Return the SHA-256 of a file of weights. Raises RunError if it is missing or not what the run wrote.

    `given` is how it was named, and `asked` where.
    """
    if not file.is_file():
        what = "is a run without weights: it is not finished" if run else "is not there"
        raise RunError(f"{asked}: {given} {what}; give a finished run, or a file of safetensors")
    if run is None:
        expect_none_required(given)
        return sha256(file)
    record = run.manifest
    try:
        expect_trusted(run.folder, record)
        return str(record["files"][file.name])
    except RunError as error:
        raise RunError(f"{asked}: {error}") from error
    except KeyError as error:
        raise RunError(
            f"{asked}: the manifest of {given} does not list {file.name}; copy the run again"
        ) from error


def adapted(recipe: Recipe, registry: Registry) -> list[str]:
    """Return the modalities whose encoders have something that their tuning has added."""
    tunings = build.build_tunings(recipe, registry)
    return [name for name, tuning in tunings.items() if type(tuning).merge is not Tuning.merge]


def original(run: Run, weights: dict[str, Tensor], registry: Registry) -> dict[str, Tensor]:
    """Return the weights of a run as they are without what its tunings have added to the encoders."""
    if not adapted(run.recipe, registry):
        return weights
    folders = {name: run.assets / name for name in run.recipe.modalities}
    model = build.build_model(run.recipe, registry, folders)
    model.load_state_dict(weights)
    model.merge()
    return dict(model.state_dict())


def rows_of(metrics: Mapping[str, Any]) -> dict[str, int] | None:
    """Return the rows of a training and of those before it, by the modalities that they had."""
    if metrics.get("init/rows_unknown"):
        return None
    counts: dict[str, int] = {}
    for key, count in metrics.items():
        if key.startswith(("train/rows/", "init/rows/")):
            kind = key.split("/", 2)[2]
            counts[kind] = counts.get(kind, 0) + count
    return counts
