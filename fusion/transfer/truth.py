"""How the candidates of a ranking did when they were trained, and how well a ranking agrees with that."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fusion.errors import RunError, unknown
from fusion.recipe import Recipe
from fusion.run import Run, flat

FREE = ("name", "train.seed")  # in which the runs of a candidate may differ


def truth(
    folders: Iterable[Path], path: str, candidates: Mapping[str, Recipe], measure: str
) -> dict[str, list[float]]:
    """Return the metric `measure` of the finished runs of each candidate, in any depth of the folders.

    The runs of a candidate have its value at `path`. Raises RunError where a candidate has none, where one
    has no such metric, and where the runs differ in more than that, the name and the seed.
    """
    given = list(folders)
    runs = [Run(file.parent) for folder in given for file in sorted(folder.rglob("recipe.yaml"))]
    data = {run: run.recipe.model_dump(mode="json") for run in runs if run.finished}
    found: dict[str, list[Run]] = {}
    for name, recipe in candidates.items():
        wanted = _at(recipe.model_dump(mode="json"), path)
        found[name] = [run for run, held in data.items() if _at(held, path) == wanted]
        if not found[name]:
            where = ", ".join(map(str, given))
            raise RunError(
                f"no finished run in {where} has {path}={name}; train it, or leave it out of --over"
            )
    leaves = [_leaves(data[run], path) for some in found.values() for run in some]
    for one in leaves:
        differ = sorted(key for key in one.keys() | leaves[0].keys() if one.get(key) != leaves[0].get(key))
        if differ:
            raise RunError(
                f"the runs to rank against differ in more than {path} and the seed: {', '.join(differ)}; "
                "give a folder of runs that are alike"
            )
    return {name: [_metric(run, measure) for run in some] for name, some in found.items()}


def kendall(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Return Kendall's tau-b of paired numbers (Kendall 1945): 1 for the same order, -1 for the reverse.

    None where all numbers of a side are equal, or there are no two.
    """
    a, b = (np.sign(np.subtract.outer(side, side)) for side in (np.array(one), np.array(other)))
    pairs = np.sqrt((a**2).sum() * (b**2).sum())  # untied ones
    return float((a * b).sum() / pairs) if pairs else None


def _at(data: Any, path: str) -> Any:
    for key in path.split("."):
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _leaves(data: Any, path: str) -> dict[str, Any]:
    """Return what has to be alike in the runs of all candidates."""
    leaves = flat(data).items()
    return {key: leaf for key, leaf in leaves if key not in FREE and not f"{key}.".startswith(f"{path}.")}


def _metric(run: Run, measure: str) -> float:
    numbers = {key: value for key, value in run.metrics.items() if isinstance(value, int | float)}
    if measure not in numbers:
        raise RunError(f"{run.folder}: {unknown('metric', measure, numbers)}")
    return float(numbers[measure])
