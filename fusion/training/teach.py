"""Let a teacher go over the rows of a training, once."""

from copy import copy
from typing import Any

from accelerate import Accelerator

from fusion.batch import Source, Stream
from fusion.cache.fill import Filler
from fusion.cache.folder import Folder
from fusion.cache.kept import HeldTargets
from fusion.cache.machine import Machine
from fusion.data.loader import Reader, Steps
from fusion.errors import DataError, RunError
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.training.progress import progress
from fusion.transfer.outputs import Outputs, Taught, outputs_wanted
from fusion.transfer.teacher import Teacher


def teach(
    teacher: Teacher, steps: Steps, recipe: Recipe, registry: Registry, accelerator: Accelerator
) -> tuple[Steps, dict[str, Any]]:
    """Return the steps with rows that hold what the teacher gives, and what the manifest keeps of that.

    It goes once over the rows that the training reads, on all processes, and what it gave stays in the cache,
    also for other trainings. Raises DataError when it gives nothing for any row, and RunError when there is
    no room for what it gives.
    """
    shown = progress("teach", 1, main=accelerator.is_main_process)
    settings = recipe.evaluate.batch, recipe.train.workers
    filler = Filler(Folder.found(), Machine(accelerator), *settings, shown.say, shown.warn)
    teacher.model.to(accelerator.device)
    outputs = Outputs(teacher, accelerator.device)
    taught, known = learn(filler, outputs, steps, recipe, registry, recipe.train.steps)
    if not any(known.values()):
        read = ", ".join(teacher.processors)
        raise DataError(f"teacher: no row that is read has any of {read}, or none of them can be read")
    rows = sum(len(steps.order.rows(number, recipe.train.steps)) for number in range(len(known)))
    shown.say(f"teacher {recipe.teacher}: outputs for {sum(known.values()):,} of {rows:,} rows")
    return taught, {**teacher.origin, "rows": known}


def learn(
    filler: Filler, outputs: Outputs, steps: Steps, recipe: Recipe, registry: Registry, count: int
) -> tuple[Steps, dict[str, int]]:
    """Return steps whose first `count` have outputs, and for how many rows of each source there are any."""
    reader = steps.reader
    sources: dict[str, Source | Stream] = dict(zip(reader.names, reader.sources, strict=True))
    known = dict.fromkeys(sources, 0)
    for one, entry in filler.entries(outputs_wanted(outputs, steps, recipe, registry, count)):
        if isinstance(entry, str):
            raise RunError(f"cannot keep the outputs of the teacher: {entry}")
        held = HeldTargets(entry, one.rows, len(one.source), outputs.targets)
        sources[one.name], known[one.name] = Taught(one.source, held), held.known
    taught = copy(steps)
    taught.reader = Reader(sources, reader.collator, reader.draw)
    return taught, known
