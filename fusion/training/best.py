"""Measure the checkpoints of a training on rows that are held back, and know which of them is the best."""

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from fusion.data import lines as jsonl
from fusion.errors import DataError, Problem, RecipeError, unknown
from fusion.evaluation.evaluate import evaluate
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.run import Run
from fusion.training import checkpoint
from fusion.training.checkpoint import Best
from fusion.training.gather import share_buffers
from fusion.training.progress import Progress
from fusion.training.sharding import Sharded
from fusion.training.whole import Whole
from fusion.training.zero import Zero


def leading(scores: Mapping[int, float], sign: int, until: int) -> int | None:
    """Return the best step up to one, the first of equally good ones; None if there is none."""
    known = [step for step, score in scores.items() if step <= until and math.isfinite(score)]
    return max(known, key=lambda step: (sign * scores[step], -step), default=None)


class Selection:
    """Finds the best checkpoint by the metric `best.by` on `best.sources`; without that key it does nothing.

    The main process writes each score into scores.jsonl of the run.
    """

    def __init__(
        self,
        recipe: Recipe,
        run: Run,
        held: Whole | Sharded | Zero,
        registry: Registry,
        accelerator: Accelerator,
        progress: Progress,
    ) -> None:
        self.given, self.run, self.progress = recipe, run, progress
        self.held, self.registry, self.accelerator = held, registry, accelerator
        by = recipe.best.by or ""
        self.metric, self.sign = by.removeprefix("-"), -1 if by.startswith("-") else 1
        rows = recipe.evaluate.model_copy(
            update={"sources": recipe.best.sources, "calibrate": {}, "foreign": {}}
        )
        self.recipe = recipe.model_copy(update={"evaluate": rows})
        self.scores: dict[int, float] = {}  # by step; on the main process
        self.path = run.folder / "scores.jsonl"

    def begin(self, done: int) -> None:
        """Take up a training of which so many steps are done; all ranks call it.

        A new one is measured once, so that a misspelt metric is told now. Raises RecipeError.
        """
        if not self.metric:
            return
        if done == 0:
            self._measure()
            self._warn()
        missing = [False]
        if self.accelerator.is_main_process:
            missing = [self._take_up(done)]
        if self.accelerator.num_processes > 1:
            broadcast_object_list(missing)
        if missing[0]:  # it was stopped after the checkpoint, and before the end of its measurement
            self.measure(done)

    def measure(self, done: int) -> float:
        """Measure the model after these many steps; return the seconds that it took. All ranks call it."""
        if not self.metric:
            return 0.0
        began = time.monotonic()
        score = self._measure()
        if self.accelerator.is_main_process:
            self.scores[done] = score
            jsonl.append(self.path, [{"step": done, "score": score}])
            best = leading(self.scores, self.sign, done)
            self.progress.say(f"step {done}: {self.metric} {score:.4f}, the best is that of step {best}")
        self.held.model.train()
        return time.monotonic() - began

    def best(self) -> Best:
        """Return what tells the best step up to one, as it is known now; the main process calls it."""
        return partial(leading, dict(self.scores), self.sign)

    def take(self, put_back: Callable[[int], None]) -> dict[str, Any]:
        """Let the model have the weights of the best step, on all ranks; return what the metrics tell."""
        chosen = [leading(self.scores, self.sign, self.given.train.steps)]
        if self.accelerator.num_processes > 1:
            broadcast_object_list(chosen)
        [best] = chosen
        if best is None:
            return {}
        put_back(best)
        return {"train/best_step": best, "train/best_score": self.scores.get(best)}

    def _take_up(self, done: int) -> bool:
        """Read the scores of the steps that are done; return whether that of the last one is missing."""
        known = [line for line in jsonl.read(self.path) if line["step"] <= done]
        self.scores = {line["step"]: line["score"] for line in known}
        best = leading(self.scores, self.sign, done)
        whole = {path for path in checkpoint.all_in(self.run.checkpoints) if not checkpoint.damage(path)}
        places = {step: checkpoint.place(self.run.checkpoints, step) for step in self.scores}
        if best is not None and places[best] not in whole:
            self.progress.warn(
                f"{places[best]}, the best so far, is damaged; the best of the others is taken"
            )
            self.scores = {step: score for step, score in self.scores.items() if places[step] in whole}
        jsonl.rewrite(self.path, [line for line in known if line["step"] in self.scores])
        train = self.given.train
        due = done > 0 and (done % train.checkpoint_every == 0 or done == train.steps)
        return due and done not in self.scores

    def _measure(self) -> float:
        """Return the metric on the main process, NaN on the others."""
        if self.accelerator.num_processes > 1:
            share_buffers(self.held.model)
        try:
            model = self.held.gathered()
            metrics = evaluate(model, self.recipe, self.registry, self.accelerator, {}).metrics
        except DataError as error:
            raise DataError(f"{error} (of the sources of `best`)") from error
        if not self.accelerator.is_main_process:
            return math.nan
        if self.metric not in metrics:
            raise RecipeError([Problem("best.by", unknown("metric", self.metric, metrics))])
        score = metrics[self.metric]
        if not isinstance(score, int | float):
            wrong = f"{self.metric} is {score!r}; name a metric that is a number"
            raise RecipeError([Problem("best.by", wrong)])
        return float(score)

    def _warn(self) -> None:
        """Say which rows choose and are reported on as well."""
        for name, pick in self.given.best.sources.items():
            for other, there in self.given.evaluate.sources.items():
                if there == pick:
                    self.progress.warn(
                        f"best.sources.{name} has the rows of evaluate.sources.{other}: what is reported was "
                        "chosen on them"
                    )
