"""Measure a run under stress, and keep what was found in it."""

from collections.abc import Sequence
from pathlib import Path

from fusion.hub.fetch import opened
from fusion.inference import load
from fusion.recipe.file import Draft
from fusion.registry import Registry
from fusion.report.page import render
from fusion.report.stress import FILE, Record
from fusion.run import Run
from fusion.stress.endure import endure
from fusion.stress.stress import build
from fusion.training.launch import start
from fusion.training.watch import together


@together
def measure_under(
    given: Run | str | Path,
    name: str,
    overrides: Sequence[str] = (),
    *,
    kinds: Sequence[str] = (),
    severities: Sequence[float] = (),
    rows: int | None = None,
    registry: Registry | None = None,
) -> Record | None:
    """Measure a run in every trial of a stress, such as "corruption", and return what was found.

    It is written into the run as stress-NAME.json, whole or not at all, and the report is rendered again.
    Of `kinds` and `severities` none mean all; `rows` takes so many of each source, drawn with the seed of
    the training. Launched on several processes, all of them call this, and the main one gets the record.
    Raises RunError, RecipeError or DataError.
    """
    registry = registry or Registry()
    run = opened(given)
    accelerator = start()  # in fp32, as any evaluation
    recipe = Draft(run.recipe.model_dump(mode="json"), {}, run.recipe.name).recipe(overrides, registry)
    made = build(name, recipe, registry, kinds=kinds, severities=severities)
    model = load(run, accelerator.device, registry).model
    record = endure(made, name, model, recipe, registry, accelerator, rows)
    if not accelerator.is_main_process:
        return None
    record.overrides = list(overrides)
    run.write_json(FILE.format(name), record.model_dump())
    render(run.folder)
    return record
