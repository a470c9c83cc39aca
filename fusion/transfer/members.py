"""Whose weights are merged: runs, and the base that they started from, if they fit together."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file

from fusion.errors import RunError
from fusion.hub.fetch import located
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.run import Run
from fusion.tensors import Stored, stored, write
from fusion.transfer.original import altered, original, rows_of, verify

NAMED = 6  # differences that are told


class Member(NamedTuple):
    """Weights that take part: those of a run or, for a base, of a file."""

    name: str
    sha256: str
    tensors: Mapping[str, Stored]  # without what tunings have added
    run: Run | None


def member(given: str, run: Run | None, registry: Registry, folder: Path) -> Member:
    """Open a run, or a file; `folder` takes the weights of a run that has others than its recipe says."""
    file = Path(given).expanduser() if run is None else run.model_file
    digest = verify(file, given, run, "merge")
    if run is not None and altered(run, registry):
        file = folder / f"{digest}.safetensors"
        if not file.is_file():
            write(file, original(run, load_file(run.model_file), registry))
    return Member(given, digest, stored(file), run)


def base_of(members: Sequence[Member], given: str | None, registry: Registry, folder: Path) -> Member:
    """Open what the runs started from: `given`, or what the manifests of all name. Raises RunError."""
    if given is not None:
        return _opened(given, registry, folder)
    named = {}
    for one in members:
        record = None if one.run is None else one.run.manifest.get("init")
        if record is None:
            raise RunError(f"{one.name} does not say what it started from, by `init`; give --base")
        named[record["sha256"]] = record["init"]
    if len(named) > 1:
        raise RunError(f"the runs started from different weights: {', '.join(named.values())}; give --base")
    [(digest, place)] = named.items()
    found = _opened(place, registry, folder)
    if found.sha256 != digest:
        raise RunError(f"{place} has changed since the runs started from it; give --base")
    return found


def _opened(given: str, registry: Registry, folder: Path) -> Member:
    path = located(given)
    return member(given, Run(path) if path.is_dir() else None, registry, folder)


def rows(members: Sequence[Member]) -> dict[str, Any]:
    """Return what the models were trained on, as metrics; that it is unknown where it is of one."""
    total: Counter[str] = Counter()
    for one in members:
        seen = None if one.run is None else rows_of(one.run.metrics)
        if seen is None:
            return {"init/rows_unknown": True}
        total.update(seen)
    return {f"init/rows/{kind}": count for kind, count in sorted(total.items())}


def expect_same(first: Member, other: Member, only: frozenset[str] | None = None) -> None:
    """Raise RunError, and name them, where tensors differ; where only some matter, in those."""
    names = sorted(only if only is not None else first.tensors.keys() | other.tensors.keys())
    found = []
    for name in names:
        one, another = first.tensors.get(name), other.tensors.get(name)
        if one is None or another is None:
            found.append(f"{name} is only in {(other if one is None else first).name}")
        elif (one.shape, one.dtype) != (another.shape, another.dtype):
            found.append(f"{name} is {_told(one)} and {_told(another)}")
    if found:
        more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
        raise RunError(
            f"{first.name} and {other.name} differ in their tensors: {'; '.join(found[:NAMED])}{more}; "
            "merge runs whose recipes have the same encoders, width, fuser and objectives"
        )


def expect_same_components(first: Run, other: Run) -> None:
    """Raise RunError where the recipes of two runs name different components; their options may differ."""
    one, another = _components(first.recipe), _components(other.recipe)
    found = [
        f"{path} is {one.get(path, 'not there')} and {another.get(path, 'not there')}"
        for path in {**one, **another}
        if one.get(path) != another.get(path)
    ]
    if found:
        raise RunError(
            f"{first.folder} and {other.folder} are of different recipes: {'; '.join(found)}; "
            "merge runs that have the same components"
        )


def _components(recipe: Recipe) -> dict[str, str]:
    return {
        **{f"encoders.{name}": pick.name for name, pick in recipe.encoders.items()},
        "fuser": recipe.fuser.name,
        **{f"objectives.{name}": pick.name for name, pick in recipe.objectives.items()},
    }


def _told(tensor: Stored) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tensor.shape}"
