"""The recipe of the run that a smaller model becomes."""

import json
from collections.abc import Sequence

from fusion import build
from fusion.errors import RunError
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.run import Run
from fusion.shrink.rebuild import applied
from fusion.transfer.original import plain
from fusion.transfer.teacher import OUTPUT

TEACHES = "distill"
"""The objective by which a smaller model learns the vectors of its teacher, unless others are given."""


def compressed(run: Run, overrides: Sequence[str], registry: Registry) -> Recipe:
    """Return the recipe of a run that is compressed as it is."""
    return plain(run, "compressed", overrides, registry)


def recovered(run: Run, steps: int, overrides: Sequence[str], registry: Registry) -> Recipe:
    """Return the recipe of the training, from a run's weights, in which the model gets used to what is left.

    A prior is left out: it would pull back to what the run began with. Raises RunError for a compressed run.
    """
    if done := [one.name for one in applied(run)]:
        raise RunError(
            f"{run.folder} was compressed ({', '.join(done)}), and training would not keep it so; "
            "give the run that it was made from, and all compressions at once"
        )
    given = [f"init={json.dumps(str(run.folder))}", f"train.steps={steps}", "prior=null", *overrides]
    return plain(run, "compressed", given, registry)


def distilled(run: Run, steps: int | None, overrides: Sequence[str], registry: Registry) -> Recipe:
    """Return the recipe of a student of a run: the run's own, with overrides that make it smaller.

    It learns what the run learned, and where the vectors of the run lie, each modality and all fused, unless
    overrides name an objective that reads other things of the run.
    """
    given = [f"teacher={json.dumps(str(run.folder))}", "init=null", "prior=null"]
    given += [] if steps is None else [f"train.steps={steps}"]
    teaching = {"fused": {"target": "teacher/fused"}} | {
        name: {"target": f"teacher/vectors/{name}", "student": name} for name in run.recipe.modalities
    }
    taught = {
        f"taught-{name}": {"name": TEACHES, "dim": run.recipe.width, **what}
        for name, what in teaching.items()
    }
    usual = [f"objectives.{name}={json.dumps(pick)}" for name, pick in taught.items()]
    recipe = plain(run, "distilled", [*given, *usual, *overrides], registry)
    if any(_reads_teacher(recipe, name, registry) for name in _named(overrides) - taught.keys()):
        return plain(run, "distilled", [*given, *overrides], registry)
    return recipe


def _named(overrides: Sequence[str]) -> set[str]:
    """Return the names of the objectives that overrides give or change."""
    keys = [override.partition("=")[0].split(".") for override in overrides]
    return {key[1] for key in keys if key[0] == "objectives" and len(key) > 1}


def _reads_teacher(recipe: Recipe, name: str, registry: Registry) -> bool:
    if name not in recipe.objectives:
        return False
    return any(target.startswith(OUTPUT) for target in build.build_objective(recipe, name, registry).targets)
