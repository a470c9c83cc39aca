"""The trainings of a study or a search: what is there of each, and what becomes of it."""

from collections.abc import Sequence
from pathlib import Path

from accelerate.utils import broadcast_object_list

from fusion.build import build_sources, build_tables
from fusion.errors import DataError, FusionError, RunError
from fusion.recipe.differences import differences
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.run import Run
from fusion.training.loop import train

NEW, STOPPED, FINISHED = "trains", "goes on", "is finished"

Training = tuple[Recipe, Path]
"""A recipe, and the folder of its run."""


def expect_data(recipes: Sequence[Recipe], registry: Registry) -> None:
    """Raise DataError if no training would find its rows: all would fail, one after the other."""
    faults: dict[str, DataError] = {}
    for recipe in recipes:
        key = repr((recipe.sources, recipe.evaluate.sources))
        if key not in faults:
            try:
                build_sources(recipe.sources, registry)
                build_tables(recipe.evaluate.sources, registry)
                return
            except DataError as error:
                faults[key] = error
    raise next(iter(faults.values()))


def finished(training: Training, state: str, registry: Registry) -> Run:
    """Return the run of a training, trained as far as it is not. Raises what training raises."""
    recipe, folder = training
    if state == FINISHED:
        return Run(folder)
    try:
        return train(recipe, folder, resume=state == STOPPED, registry=registry)
    except KeyboardInterrupt as error:  # of Ctrl-C or of SIGTERM
        raise type(error)(f"{folder} is stopped; the same command goes on from there") from error


def states(trainings: Sequence[Training], ranks: int, main: bool) -> list[str]:
    """Return what is there of each run, as one process sees it: another might see what this one has begun."""
    found: list[list[str] | FusionError | None] = [None]
    if main:
        try:
            found = [[_state(*training) for training in trainings]]
        except FusionError as error:
            found = [error]
    if ranks > 1:
        broadcast_object_list(found)
    [told] = found
    if isinstance(told, FusionError):
        raise told
    assert told is not None
    return told


def _state(recipe: Recipe, folder: Path) -> str:
    """Return what is there of a run. Raises RunError for one with another recipe."""
    if not (folder / "recipe.yaml").is_file():
        return NEW
    run = Run(folder)
    changed = {
        key: pair
        for key, pair in differences(recipe, run.recipe).items()
        if not key.startswith("train.track") and (run.finished or not key.startswith("evaluate."))
    }
    if changed:
        told = "; ".join(f"{key} is {now!r}, there {then!r}" for key, (now, then) in changed.items())
        raise RunError(f"{folder} has another recipe: {told}; choose another --out, or delete that run")
    return FINISHED if run.finished else STOPPED
