"""What an earlier run hands on: the weights that it wrote, as its recipe alone builds them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from fusion import build
from fusion.errors import RunError
from fusion.files import sha256
from fusion.picks import complete
from fusion.recipe.file import read_recipe
from fusion.recipe.picks import Tune
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.run import Run
from fusion.shrink.rebuild import applied, rebuild
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


def plain(run: Run, suffix: str, overrides: Sequence[str], registry: Registry) -> Recipe:
    """Return the recipe of a run that is made of another, renamed, with its tunings less what they add."""
    data = read_recipe(run.folder, overrides, registry).model_dump(mode="json")
    data["name"] = f"{data['name']}-{suffix}"
    for name in adapted(run.recipe, registry):
        pace = {key: data["encoders"][name]["tune"][key] for key in ("lr_scale", "layer_decay")}
        data["encoders"][name]["tune"] = Tune(**pace).model_dump(mode="json")
    return complete(Recipe(**data), registry)


def altered(run: Run, registry: Registry) -> bool:
    """Whether a run has other tensors than its recipe says without tunings: added or compressed ones."""
    return bool(adapted(run.recipe, registry) or applied(run))


def original(run: Run, weights: dict[str, Tensor], registry: Registry) -> dict[str, Tensor]:
    """Return the weights of a run without what its tunings have added, and in the form before a compression.

    Raises RunError where a compression has left tensors of other shapes.
    """
    if not altered(run, registry):
        return weights
    model = rebuild(run, registry, expanded=True)
    model.merge()
    found = dict(model.state_dict())
    if done := [one.name for one in applied(run)]:
        folders = {name: run.assets / name for name in run.recipe.modalities}
        full = build.assemble(run.recipe, registry, folders).state_dict()
        other = [name for name in full if name not in found or found[name].shape != full[name].shape]
        if other:
            raise RunError(
                f"{run.folder} was compressed ({', '.join(done)}), and {len(other)} of its tensors, such as "
                f"{other[0]}, no longer have the shapes of its recipe; give the run that it was made from"
            )
    return found


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
