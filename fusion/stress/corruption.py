"""Corruptions, as a stress: each modality is damaged in every kind that is offered for it."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from fusion.corruption import SEVERITIES, Corruption
from fusion.errors import RunError, unknown
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.stress.rows import Damage
from fusion.stress.stress import Stress, Trial


def corrupt(raw: Any, rng: np.random.Generator, *, by: Corruption, severity: int) -> Any:
    """Return the sample as a corruption leaves it; as it is where the severity is 0."""
    return by(raw, severity, rng) if severity else raw


class Corruptions(Stress):
    """Damages raw samples, as Hendrycks & Dietterich 2019 do pictures; severities are 1 to 5, 0 is none."""

    mean_error = "mCE"

    def __init__(
        self, recipe: Recipe, registry: Registry, *, kinds: Sequence[str], severities: Sequence[float]
    ) -> None:
        offered = {name: _offered(recipe.encoders[name].name, registry) for name in recipe.modalities}
        known = {kind for some in offered.values() for kind in some}
        for kind in kinds:
            if kind not in known:
                raise RunError(unknown("corruption of this run's modalities", kind, known))
        if not known:
            raise RunError(
                f"no plugin offers a corruption of {', '.join(recipe.modalities)}; see fusion_corruptions"
            )
        for severity in severities:
            if severity not in (0, *SEVERITIES):
                raise RunError(f"severity {severity:g}: corruptions have 1, 2, 3, 4 and 5, and 0 is none")
        self.trials = [
            Trial(name, kind, severity)
            for name, some in offered.items()
            for kind in some
            if not kinds or kind in kinds
            for severity in severities or SEVERITIES
        ]
        self.found = {kind: function for some in offered.values() for kind, function in some.items()}

    def damage(self, trial: Trial) -> Damage:
        return partial(corrupt, by=self.found[trial.kind], severity=int(trial.severity))


def _offered(encoder: str, registry: Registry) -> dict[str, Corruption]:
    """Return the corruptions of what an encoder reads, by name."""
    modality = registry.find("encoder", encoder).component.modality
    return {
        offer.component.name: offer.component.resolve()
        for offer in registry
        if offer.kind == "corruption" and offer.component.modality == modality
    }
