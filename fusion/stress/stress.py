"""What a stress is: trials in which one or more modalities of the rows are damaged."""

from abc import ABC
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from fusion.batch import Batch
from fusion.component import Component
from fusion.errors import RunError, unknown
from fusion.evaluation.crew import Crew
from fusion.model import Model
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.report.stress import Record
from fusion.stress.rows import Damage

STRESSES = {
    "corruption": "fusion.stress.corruption:Corruptions",
    "attack": "fusion.stress.attack:Attacks",
}
"""Where the stresses are that `fusion evaluate --stress NAME` knows."""


class Trial(NamedTuple):
    """One measurement: which modalities are damaged ("image", "image+audio"), how, and how much."""

    damaged: str
    kind: str
    severity: float

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.damaged.split("+"))


class Wanted(NamedTuple):
    """What of a trial is measured: by default all that holds what it damages."""

    subsets: Collection[tuple[str, ...]] | None = None  # from which tasks answer; None: from all
    vectors: bool = True  # whether retrieval and zero-shot classification are measured


class Stress(ABC):
    """A list of trials, and how the rows are damaged in each: as raw samples, or as inputs of the model.

    A subclass takes (recipe, registry, *, kinds, severities); of both, none mean all. `axis` says what a
    severity counts, `mean_error` how the error over all trials is called. Damage is a function of the seed,
    the row and the trial.
    """

    axis: str = "severity"
    mean_error: str = "mean error"
    trials: Sequence[Trial]

    def meet(self, model: Model) -> None:  # noqa: B027  # most trials do not depend on it
        """Look at the model, on all ranks, before the trials are read."""

    def wanted(self, trial: Trial) -> Wanted:
        """Return what of a trial is measured."""
        return Wanted()

    def damage(self, trial: Trial) -> Damage | None:
        """Return what damages raw samples in loader workers; None where the rows are not read again."""
        return None

    def spoil(self, model: Model, batch: Batch, trial: Trial) -> Batch:
        """Return the batch with spoilt inputs, on its device; gradients can be taken.

        Without `damage` it is the whole batch, otherwise it holds the inputs of the damaged modalities.
        """
        return batch

    def tell(self, crew: Crew) -> dict[str, Any]:
        """Return what the record has to say beyond its trials, on the first rank; all of them call it."""
        return {}

    def settle(self, record: Record) -> Record:
        """Return the record as it is kept."""
        return record


def build(
    name: str, recipe: Recipe, registry: Registry, *, kinds: Sequence[str], severities: Sequence[float]
) -> Stress:
    """Build a stress by name. Raises RunError for one that there is not."""
    if name not in STRESSES:
        raise RunError(unknown("stress", name, STRESSES))
    made = Component(name, STRESSES[name]).resolve()
    stress: Stress = made(recipe, registry, kinds=kinds, severities=severities)
    return stress
