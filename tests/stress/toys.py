"""Toy rows that can be damaged: a sight or a sound becomes that of the next colour, surely at severity 5."""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from accelerate import Accelerator
from torch import Tensor

from fusion import Component, DataError, Model, Recipe, Registry, Signal, hookimpl
from fusion.batch import Batch
from fusion.report.stress import Record
from fusion.stress.corruption import Corruptions
from fusion.stress.endure import endure
from fusion.stress.stress import Stress, Trial
from tests.evaluation import toys

KINDS = ["sight-turn", "sound-turn", "text-turn"]


def turn(raw: Any, severity: int, rng: np.random.Generator) -> str:
    """Return the next colour with a probability of 0.2 for each severity."""
    if not isinstance(raw, str):
        raise DataError("a colour is a text")
    if rng.random() >= severity / 5:
        return raw
    names = {name: toys.COLOURS[(n + 1) % 3] for n, name in enumerate(toys.COLOURS)}
    return " ".join(
        names.get(word, str((int(word) + 1) % 3) if word.isdigit() else word) for word in raw.split()
    )


def spoil(raw: Any, severity: int, rng: np.random.Generator) -> str:
    return "nothing"


def registry() -> Registry:
    @hookimpl
    def fusion_corruptions() -> list[Component]:
        turns = [Component(f"{name}-turn", turn, name) for name in ("sight", "sound", "text")]
        return [*turns, Component("sound-spoil", spoil, "sound")]

    plugin = ModuleType("harm")
    plugin.fusion_corruptions = fusion_corruptions  # type: ignore[attr-defined]
    made = toys.registry()
    made.add("harm", plugin)
    return made


class Felt(toys.Direction):
    """Reads colours as numbers from 0 to 1 that can be moved."""

    def signals(self, inputs: Mapping[str, Tensor]) -> dict[str, Signal]:
        return {"x": Signal(0.0, 1.0)}


def attackable(recipe: Recipe) -> Model:
    """Return the toy model, whose sights and sounds, but not whose texts, can be attacked."""
    model = toys.model(recipe, registry())
    for name in ("sight", "sound"):
        model.encoders[name].processor = Felt()
    return model


class Rolled(Stress):
    """Turns sights in the inputs of the encoder, and not in the rows: what `turn` does at severity 5."""

    def __init__(self) -> None:
        self.trials = [Trial("sight", "roll", 5)]
        self.seen: list[Batch] = []

    def spoil(self, model: Any, batch: Batch, trial: Trial) -> Batch:
        self.seen.append(batch)
        if "sight" not in batch.inputs:
            return batch
        x = batch.inputs["sight"]["x"]  # (n, 4), of which the first three are colours
        turned = x[:, [2, 0, 1, 3]]
        return batch._replace(inputs=batch.inputs | {"sight": {"x": turned}})


def measured(
    recipe: Recipe,
    kinds: Sequence[str] = KINDS,
    severities: Sequence[float] = (),
    *,
    stress: Stress | None = None,
    rows: int | None = None,
    accelerator: Accelerator | None = None,
    model: Any = None,
) -> Record:
    """Measure toys, with the model of `toys.model` by default."""
    offers = registry()
    accelerator = accelerator or Accelerator()
    made = stress or Corruptions(recipe, offers, kinds=kinds, severities=severities)
    model = (model or toys.model(recipe, offers)).to(accelerator.device)
    return endure(made, "corruption", model, recipe, offers, accelerator, rows)
