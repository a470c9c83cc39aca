"""Measure the models that some weights of the runs give, before one of them is kept."""

from collections.abc import Callable, Sequence
from math import inf, isnan
from typing import Any

from accelerate import Accelerator

from fusion.errors import RunError, unknown
from fusion.evaluation.evaluate import evaluate
from fusion.model import Model
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.transfer.mixture import Mixture

STEPS = 10  # of a curve


class Trials:
    """What has been measured, by weights; `told` is what the manifest keeps of it."""

    def __init__(
        self, mixture: Mixture, model: Model, recipe: Recipe, accelerator: Accelerator, registry: Registry
    ) -> None:
        self.mixture, self.model, self.recipe = mixture, model, recipe
        self.accelerator, self.registry = accelerator, registry
        self.told: list[dict[str, Any]] = []

    def measure(self, weights: Sequence[float], by: str | None) -> float:
        """Return a metric, the larger the better; after a "-" less is better, and NaN is the worst."""
        if by is None:
            raise RunError("this method chooses by a metric: give --by KEY, one of metrics.json")
        key = by.removeprefix("-")
        [value] = self._metrics(weights, [key])
        self.told.append({"weights": list(weights), key: value})
        return -inf if isnan(value) else value if by == key else -value

    def curve(self, weigh: Callable[[list[float]], list[float]], keys: Sequence[str]) -> dict[str, Any]:
        """Return metrics for the weights 0, 0.1 ... 1, as a single number on the command line."""
        numbers = [step / STEPS for step in range(STEPS + 1)]
        found = [self._metrics(weigh([number]), keys) for number in numbers]
        columns = zip(*found, strict=True)
        return {"weight": numbers} | {key: list(column) for key, column in zip(keys, columns, strict=True)}

    def _metrics(self, weights: Sequence[float], keys: Sequence[str]) -> list[float]:
        self.mixture.fill(self.model, weights)
        found = evaluate(self.model, self.recipe, self.registry, self.accelerator, {}).metrics
        for key in keys:
            if not isinstance(found.get(key), int | float):
                raise RunError(unknown("metric", key, found))
        return [found[key] for key in keys]
