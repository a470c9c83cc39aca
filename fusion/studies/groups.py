"""Sort run folders into versions: runs whose recipes differ in the seed alone, named by what else differs."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fusion.errors import RunError
from fusion.recipe.differences import flat
from fusion.recipe.schema import Recipe
from fusion.run import Run
from fusion.studies.compare import Group
from fusion.studies.names import PICKS, Version, amount_axis, label, short

APART = ("name", "train.seed")  # in which runs of one version may differ
EARLIER = ("init", "teacher", "prior.fisher")  # which name other runs
PLAN = "plan.json"
"""What a study compares, in its folder: versions in their order, measures and baseline."""

MOST = 5  # differences of which a version's name is made; beyond, its folder has the better name


def runs_in(folders: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """Return the finished runs that are given or lie in a given folder, and what is not finished there.

    Raises RunError for a run that is given and not finished, and where there is none.
    """
    found: dict[Path, Run] = {}
    unfinished: list[str] = []
    for folder in folders:
        if folder.is_file():
            continue  # of runs/NAME/*, what lies beside the runs
        inside = sorted(path.parent for path in folder.glob("*/recipe.yaml"))
        whole = (folder / "recipe.yaml").is_file() or not inside
        for path in [folder] if whole else inside:
            run = Run(path)
            if run.finished:
                found.setdefault(path.resolve(), run)
            elif whole:
                raise RunError(f"{path} is not finished; go on with it (--resume), or leave it out")
            else:
                unfinished.append(path.name)
    if not found:
        raise RunError("no finished run is given; name the folders that `fusion train` left")
    return list(found.values()), unfinished


class Arranged(NamedTuple):
    """What a study was to compare, as far as its runs are there."""

    groups: list[Group]
    amount: str | None
    measures: list[str]
    baseline: str | None


def arrange(folder: Path, runs: Sequence[Run]) -> Arranged:
    """Return the runs of a study's folder by the versions of its plan, in their order."""
    told = json.loads((folder / PLAN).read_text("utf-8"))
    groups = []
    for one in told["versions"]:
        version = Version(tuple(one["parts"]), one["amount"], one["compared"])
        by_seed = {run.recipe.train.seed: run for run in runs if _place(run) == version.place}
        groups.append(Group(version, by_seed))
    return Arranged(groups, told["amount"], told["measures"], told["baseline"])


def group(runs: Sequence[Run]) -> tuple[list[Group], str | None]:
    """Return the versions with their runs by seed, and the path by whose numbers they are drawn, if any.

    A run that others take from, all of which are measured on other rows than it, is not compared.
    Raises RunError for two runs of one recipe and seed.
    """
    later: dict[Path, list[Run]] = {}
    for run in runs:
        for path in run.recipe.earlier:
            later.setdefault(Path(path).expanduser().resolve(), []).append(run)
    origins = [run for run in runs if _elsewhere(run, later.get(run.folder.resolve(), []))]
    found, amount = _alike([run for run in runs if run not in origins])
    only_origins = [one._replace(version=one.version._replace(compared=False)) for one in _alike(origins)[0]]
    return [*found, *only_origins], amount


def _elsewhere(run: Run, later: Sequence[Run]) -> bool:
    rows = run.recipe.evaluate.sources
    return bool(later) and all(one.recipe.evaluate.sources != rows for one in later)


def _alike(runs: Sequence[Run]) -> tuple[list[Group], str | None]:
    alike: dict[str, dict[int, Run]] = {}
    recipes: dict[str, dict[str, Any]] = {}
    for run in runs:
        recipe = _without_seed(run.recipe)
        key = repr(sorted(recipe.items()))
        seed = run.recipe.train.seed
        if seed in alike.setdefault(key, {}):
            other = alike[key][seed].folder
            raise RunError(f"{run.folder} and {other} have the same recipe and seed; leave one out")
        alike[key][seed] = run
        recipes[key] = recipe
    paths = _differing(list(recipes.values()))
    values = {
        path: list({repr(of.get(path)): of.get(path) for of in recipes.values()}.values()) for path in paths
    }
    amount = amount_axis(values) if len(paths) <= MOST else None
    versions = [_version(recipes[key], values, amount, alike[key]) for key in recipes]
    if len(paths) > MOST or len({version.parts for version in versions}) < len(versions):
        versions = [Version((_folder(alike[key]),)) for key in recipes]
    return [Group(one, alike[key]) for one, key in zip(versions, recipes, strict=True)], amount


def _version(
    recipe: Mapping[str, Any], values: Mapping[str, Any], amount: str | None, runs: Mapping[int, Run]
) -> Version:
    own = [path for path in values if path != amount and (path == "init" or path in recipe)]
    words = " ".join(_word(path, values, recipe[path]) for path in own)
    if amount is None:
        return Version((words or _folder(runs),))
    last = label(short(amount, values), recipe[amount])
    return Version((words, last) if words else (last,), recipe[amount])


def _word(path: str, values: Mapping[str, Any], value: Any) -> str:
    if path == "init" and value is None:
        return "scratch"
    if path in EARLIER and value is not None:
        return f"{path}={Path(value).name.removesuffix('-SEED')}"
    return label(short(path, values), value)


def _folder(runs: Mapping[int, Run]) -> str:
    return _place(next(iter(runs.values())))


def _place(run: Run) -> str:
    return run.folder.resolve().name.removesuffix(f"-{run.recipe.train.seed}")


def _without_seed(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe by dotted paths; in those of earlier runs, the seed at a folder's end reads SEED."""
    seed = re.compile(rf"(?<=[-_]){recipe.train.seed}(?=/|$)")
    told = recipe.model_dump(mode="json", exclude={"study": True, "train": {"track"}})
    return {
        path: seed.sub("SEED", value) if path in EARLIER and isinstance(value, str) else value
        for path, value in flat(told).items()
        if path not in APART
    }


def _differing(recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the paths that tell recipes apart, without options that only follow from another component."""
    paths = dict.fromkeys(path for recipe in recipes for path in recipe)
    sections = dict.fromkeys(part for path in paths for part in _within(path))
    first = {part: number for number, part in enumerate(sections)}
    different = [path for path in paths if len({repr(recipe.get(path)) for recipe in recipes}) > 1]
    picking = [path for path in different if path.rpartition(".")[2] in PICKS]
    told = []
    for path in different:
        above = [pick for pick in picking if pick != path and path.startswith(pick.rpartition(".")[0] + ".")]
        groups: dict[str, set[str]] = {}
        for recipe in recipes:
            chosen = repr([recipe.get(pick) for pick in above])
            groups.setdefault(chosen, set()).add(repr(recipe.get(path)))
        if any(len(values) > 1 for values in groups.values()):
            told.append(path)
    return sorted(told, key=lambda path: [first[part] for part in _within(path)])


def _within(path: str) -> list[str]:
    """Return the sections that a path is in, and itself."""
    parts = path.split(".")
    return [".".join(parts[: length + 1]) for length in range(len(parts))]
