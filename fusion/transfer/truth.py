"""How the candidates of a ranking did when they were trained, and how well a ranking agrees with that."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fusion.errors import RunError, unknown
from fusion.recipe.differences import flat
from fusion.recipe.schema import Recipe
from fusion.run import Run

FREE = {"name", *(f"train.{key}" for key in ("seed", "workers", "checkpoint_every", "keep", "log_every"))}
"""What may differ in the runs of a candidate."""


def truth(folders: Iterable[Path], candidates: Mapping[str, Recipe], measure: str) -> dict[str, list[float]]:
    """Return the metric `measure` of the finished runs of each candidate, in any depth of the folders.

    They have its recipe but for the seed, and for what does not matter. Raises RunError where a candidate has
    none, and names what differs in the nearest; and where a run has no such metric.
    """
    given = list(folders)
    for folder in given:
        if not folder.is_dir():
            raise RunError(f"{folder} is not a folder; give one with runs of the candidates, in any depth")
    found = [Run(file.parent) for folder in given for file in sorted(folder.rglob("recipe.yaml"))]
    runs = {run: _leaves(run.recipe) for run in found if run.finished}
    numbers: dict[str, list[float]] = {}
    for name, recipe in candidates.items():
        wanted = _leaves(recipe)
        differ = {
            run: sorted(key for key in held.keys() | wanted.keys() if held.get(key) != wanted.get(key))
            for run, held in runs.items()
        }
        numbers[name] = [_metric(run, measure) for run, keys in differ.items() if not keys]
        if not numbers[name]:
            nearest = min(differ, key=lambda run: len(differ[run]), default=None)
            hint = f"; {nearest.folder} differs in {', '.join(differ[nearest])}" if nearest else ""
            raise RunError(f"no finished run in {', '.join(map(str, given))} is of candidate {name}{hint}")
    return numbers


def kendall(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Return Kendall's tau-b of paired numbers (Kendall 1945): 1 for the same order, -1 for the reverse.

    None where all numbers of a side are equal, or there are no two.
    """
    a, b = (np.sign(np.subtract.outer(side, side)) for side in (np.array(one), np.array(other)))
    pairs = np.sqrt((a**2).sum() * (b**2).sum())  # untied ones
    return float((a * b).sum() / pairs) if pairs else None


def _leaves(recipe: Recipe) -> dict[str, Any]:
    leaves = flat(recipe.model_dump(mode="json")).items()
    return {key: leaf for key, leaf in leaves if key not in FREE and leaf not in ({}, [])}


def _metric(run: Run, measure: str) -> float:
    numbers = {key: value for key, value in run.metrics.items() if isinstance(value, int | float)}
    if measure not in numbers:
        raise RunError(f"{run.folder}: {unknown('metric', measure, numbers)}")
    return float(numbers[measure])
