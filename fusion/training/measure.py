"""Measure a model on the evaluation sources of its recipe."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fusion.evaluation.evaluate import evaluate
from fusion.hub.fetch import opened
from fusion.inference import Predictor, load
from fusion.recipe.file import Draft
from fusion.registry import Registry
from fusion.run import Run
from fusion.training.launch import start
from fusion.training.watch import together


@together
def measure(
    given: Predictor | Run | str | Path, overrides: Sequence[str] = (), *, registry: Registry | None = None
) -> dict[str, Any]:
    """Return the metrics of a run, or of a loaded model as it is now; nothing is written.

    `overrides`, such as "evaluate.limit=100", change what is measured, not what was trained. Launched on
    several processes, all of them call this, and the main one gets the metrics. The temperatures of the
    answers stay, too, unless an override changes `evaluate.calibrate`, which fits others. Of a loaded model
    it is not known what it was trained on, so no pair is called emergent. Raises RunError, RecipeError or
    DataError.
    """
    registry = registry or Registry()
    given = given if isinstance(given, Predictor) else opened(given)
    recipe = given.recipe
    # evaluation is in fp32, also of what a GPU trained in fp16
    accelerator = start()
    if isinstance(given, Predictor):
        predictor, trained = given, {}
    else:
        predictor, trained = load(given, accelerator.device, registry), given.metrics
    model = predictor.model.to(accelerator.device)
    asked = Draft(recipe.model_dump(mode="json"), {}, recipe.name).recipe(overrides, registry)
    same = asked.evaluate.calibrate == recipe.evaluate.calibrate
    temperatures = (predictor.temperatures or None) if same else None
    return evaluate(model, asked, registry, accelerator, trained, temperatures).metrics
