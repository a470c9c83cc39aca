"""Measure a training at its checkpoints on rows that are held back, and know which of them was the best."""

import math
import time
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from fusion.errors import DataError, Problem, RecipeError, unknown
from fusion.evaluation.evaluate import evaluate
from fusion.model import Model
from fusion.recipe import Recipe
from fusion.registry import Registry
from fusion.training import checkpoint
from fusion.training.gather import share_buffers
from fusion.training.progress import Progress


class Score(NamedTuple):
    """What the main process measured after this many steps."""

    step: int
    value: float


class Selection:
    """Finds the best checkpoint by the metric `best.by` on `best.sources`; without that key it does nothing.

    Of checkpoints that are equally good it is the first. All ranks call each method.
    """

    def __init__(self, recipe: Recipe, model: Model, registry: Registry, accelerator: Accelerator) -> None:
        self.best: Score | None = None
        self.model, self.registry, self.accelerator = model, registry, accelerator
        self.wanted, self.given = recipe.best.by, recipe
        rows = recipe.evaluate.model_copy(update={"sources": recipe.best.sources})
        self.recipe = recipe.model_copy(update={"evaluate": rows})

    def begin(self, progress: Progress) -> None:
        """Measure once before the first step, so that a misspelt metric is told now. Raises RecipeError."""
        if self.wanted is not None:
            self._measure()
            measured = self.given.evaluate.sources
            for name, pick in self.given.best.sources.items():
                for other in (other for other, there in measured.items() if there == pick):
                    progress.warn(
                        f"best.sources.{name} has the rows of evaluate.sources.{other}: what is reported was "
                        "chosen on them"
                    )

    def measure(self, step: int, progress: Progress) -> float:
        """Measure the model after this many steps; return the seconds that it took."""
        if self.wanted is None:
            return 0.0
        began = time.monotonic()
        value = self._measure()
        sign = -1 if self.wanted.startswith("-") else 1
        if not math.isnan(value) and (self.best is None or sign * value > sign * self.best.value):
            self.best = Score(step, value)
        progress.say(f"step {step}: {self.wanted.removeprefix('-')} {value:.4f} (best: {self._told()})")
        self.model.train()
        return time.monotonic() - began

    def take(self, checkpoints: Path) -> dict[str, Any]:
        """Give the model the weights of the best checkpoint, and return what is told of it in the metrics."""
        chosen = [self.best]
        if self.accelerator.num_processes > 1:
            broadcast_object_list(chosen)
        [best] = chosen
        if best is None:
            return {}
        self.model.load_state_dict(checkpoint.load(checkpoint.place(checkpoints, best.step)).model)
        return {"train/best_step": best.step, "train/best_score": best.value}

    def restore(self, state: dict[str, Any], checkpoints: Path, progress: Progress) -> None:
        """Take what a checkpoint says of the best one, if that is still whole; the main process calls it."""
        if state.get("best") is not None:
            best = Score(*state["best"])
            place = checkpoint.place(checkpoints, best.step)
            if checkpoint.damage(place):
                progress.warn(
                    f"the best checkpoint so far, {place}, is damaged: the best of later ones is kept"
                )
            else:
                self.best = best

    def _measure(self) -> float:
        """Return the metric on the main process, NaN on the others."""
        assert self.wanted is not None
        if self.accelerator.num_processes > 1:
            share_buffers(self.model)
        try:
            metrics = evaluate(self.model, self.recipe, self.registry, self.accelerator, {}).metrics
        except DataError as error:
            raise DataError(f"{error} (of the sources of `best`)") from error
        if not self.accelerator.is_main_process:
            return math.nan
        key = self.wanted.removeprefix("-")
        if key not in metrics:
            raise RecipeError([Problem("best.by", unknown("metric", key, metrics))])
        if not isinstance(metrics[key], int | float):
            raise RecipeError(
                [Problem("best.by", f"{key} is {metrics[key]!r}; name a metric that is a number")]
            )
        return float(metrics[key])

    def _told(self) -> str:
        return "none yet" if self.best is None else f"step {self.best.step}, {self.best.value:.4f}"
