"""Which candidate will transfer best, told before any of them is trained."""

from collections.abc import Mapping, Sequence
from math import inf, isfinite
from statistics import mean
from typing import Any, NamedTuple

from accelerate.utils import gather_object

from fusion.build import build_estimators
from fusion.data.collate import BadRow
from fusion.errors import DataError, FusionError, PluginError, Problem, RecipeError, unknown
from fusion.estimator import Estimator
from fusion.fitted import fitted
from fusion.picks import complete
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.training.launch import launch
from fusion.training.watch import together
from fusion.transfer.labelled import Look, labelled

SORTING = "logme"


class Ranked(NamedTuple):
    """What is estimated of a candidate; larger is better."""

    name: str
    rows: dict[str, int]  # that were looked at, by modality
    estimates: dict[str, dict[str, float | str]]  # by estimator and modality; words where there is none
    bad: list[BadRow]
    new: list[str]  # encoders of which nothing was taken, though it starts from something

    def estimate(self, estimator: str) -> float | None:
        """Return the mean over the modalities, None where one has none."""
        numbers = [number for number in self.estimates[estimator].values() if not isinstance(number, str)]
        return mean(numbers) if len(numbers) == len(self.rows) else None

    def reasons(self, estimator: str) -> list[str]:
        """Say why there are no estimates, each reason once."""
        words = (said for said in self.estimates[estimator].values() if isinstance(said, str))
        return list(dict.fromkeys(words))


@together
def rank(
    candidates: Mapping[str, Recipe],
    estimators: Sequence[str | Mapping[str, Any]] = (),
    *,
    rows: int = 2000,
    modality: str | None = None,
    registry: Registry | None = None,
) -> list[Ranked]:
    """Estimate how well each candidate will transfer, by a look at labelled rows with its initial encoders.

    The first estimator sorts, the best candidate first; without any, there are all that plugins offer. Every
    modality is estimated on the rows that have it, or `modality` alone. Launched on several processes, each
    looks at some of the candidates, and all return the same. Nothing is trained or written. Raises
    FusionError, naming the candidate.
    """
    registry = registry or Registry()
    every = sorted(registry.names("estimator"), key=lambda name: name != SORTING)
    built = build_estimators(estimators or every, registry)
    recipes = {name: fitted(complete(recipe, registry), registry) for name, recipe in candidates.items()}
    for recipe in recipes.values():
        if modality is not None and modality not in recipe.modalities:
            raise DataError(unknown("modality", modality, recipe.modalities))
    if not recipes:
        raise RecipeError([Problem("", "there is no candidate; give one at least")])
    first = next(iter(recipes.values()))
    accelerator = launch(first.train.model_copy(update={"precision": "fp32"}))
    found: list[Ranked | FusionError] = []
    for name in list(recipes)[accelerator.process_index :: accelerator.num_processes]:
        try:
            look = labelled(recipes[name], registry, accelerator.device, rows, modality)
            found.append(_estimated(name, look, built))
        except FusionError as error:  # which all processes shall hear of
            found.append(FusionError(f"{name}: {error}"))
    if accelerator.num_processes > 1:
        found = gather_object(found)
    ranked: list[Ranked] = []
    for one in found:
        if isinstance(one, FusionError):
            raise one
        ranked.append(one)
    ranked.sort(key=lambda one: list(recipes).index(one.name))
    by = next(iter(built))
    return sorted(ranked, key=lambda one: inf if (number := one.estimate(by)) is None else -number)


def _estimated(name: str, look: Look, estimators: Mapping[str, Estimator]) -> Ranked:
    estimates: dict[str, dict[str, float | str]] = {}
    for kind, estimator in estimators.items():
        try:
            estimates[kind] = {modality: estimator(rows) for modality, rows in look.rows.items()}
        except Exception as error:  # a fault of the estimator, not of the rows
            raise PluginError(f"estimator {kind} failed: {error!r}") from error
        for number in estimates[kind].values():
            if not isinstance(number, str) and not isfinite(number):
                raise PluginError(f"estimator {kind} gave {number}, not a finite number or words")
    rows = {modality: len(rows.labels) for modality, rows in look.rows.items()}
    return Ranked(name, rows, estimates, look.bad, look.new)
