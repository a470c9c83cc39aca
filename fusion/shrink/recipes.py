"""The recipe of the run that a smaller model becomes."""

import json
from collections.abc import Sequence

from fusion.errors import RunError
from fusion.recipe import Recipe
from fusion.registry import Registry
from fusion.run import Run
from fusion.shrink.rebuild import applied
from fusion.transfer.original import plain

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
    overrides name objectives.
    """
    given = [f"teacher={json.dumps(str(run.folder))}", "init=null", "prior=null"]
    given += [] if steps is None else [f"train.steps={steps}"]
    if not any(override.startswith("objectives.") for override in overrides):
        teaching = {"fused": {"target": "teacher/fused"}} | {
            name: {"target": f"teacher/vectors/{name}", "student": name} for name in run.recipe.modalities
        }
        given += [
            f"objectives.taught-{name}={json.dumps({'name': TEACHES, 'dim': run.recipe.width, **what})}"
            for name, what in teaching.items()
        ]
    return plain(run, "distilled", [*given, *overrides], registry)
