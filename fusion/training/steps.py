"""Put together what the steps of a training read."""

from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from fusion import build
from fusion.batch import Stream
from fusion.data.collate import Collator
from fusion.data.draw import Draw
from fusion.data.loader import Reader, Steps
from fusion.data.order import Order
from fusion.errors import DataError, RunError
from fusion.model import Model
from fusion.recipe import Recipe
from fusion.registry import Registry
from fusion.training.progress import progress
from fusion.transfer.outputs import Outputs
from fusion.transfer.teacher import Teacher


def training_steps(recipe: Recipe, model: Model, registry: Registry, rank: int = 0, ranks: int = 1) -> Steps:
    """Return the training batches of one rank. Raises DataError for sources that cannot be built.

    With a teacher a stream is one: no row of it has a place by which an output could be found again.
    """
    sources = build.build_sources(recipe.sources, registry)
    for name, source in sources.items():
        if recipe.teacher is not None and isinstance(source, Stream):
            raise DataError(
                f"sources.{name} is a stream, of whose rows a teacher's outputs cannot be kept; "
                "give random access, or leave out `teacher`"
            )
    lengths = {name: None if isinstance(source, Stream) else len(source) for name, source in sources.items()}
    weights = {name: pick.weight for name, pick in recipe.sources.items()}
    seed = recipe.train.seed
    draw = Draw(build.build_augmentations(recipe, registry), recipe.fuser.modality_dropout, seed)
    reader = Reader(sources, Collator(model.processors, model.targets()), draw)
    return Steps(reader, Order(lengths, weights, recipe.train.batch, seed), rank, ranks)


def teach(
    teacher: Teacher, steps: Steps, recipe: Recipe, folder: Path, accelerator: Accelerator
) -> tuple[Steps, dict[str, Any]]:
    """Return the steps with rows that hold what the teacher gives, and what the manifest keeps of that.

    It goes once over the rows that the training reads, on all ranks, and what it gave stays in `folder`, from
    where a resumed training takes it. Raises DataError when it gives nothing for any row.
    """
    main = accelerator.is_main_process
    shown = progress("teach", 1, main=main)
    outputs = outputs_of(teacher, steps, recipe, recipe.train.steps, folder)
    faults = [outputs.fault() if main else None]
    if accelerator.num_processes > 1:
        broadcast_object_list(faults)
    if faults[0]:
        shown.warn(f"{folder} {faults[0]}; it is computed anew")
    try:
        if faults[0] is not None:
            shown.say(f"teacher {recipe.teacher} goes over {sum(map(len, outputs.rows)):,} rows")
            if main:
                outputs.lay_out()
            accelerator.wait_for_everyone()
            outputs.compute(recipe.evaluate.batch, recipe.train.workers, accelerator.device)
            accelerator.wait_for_everyone()
            if main:
                outputs.finish()
            accelerator.wait_for_everyone()
    except OSError as error:
        raise RunError(f"cannot keep the outputs of the teacher: {error}") from error
    known = outputs.known
    if not any(known.values()):
        read = ", ".join(teacher.processors)
        raise DataError(f"teacher: no row that is read has any of {read}, or none of them can be read")
    shown.say(f"teacher: outputs for {sum(known.values()):,} of {sum(map(len, outputs.rows)):,} rows")
    return outputs.taught(), {**teacher.origin, "rows": known}


def outputs_of(teacher: Teacher, steps: Steps, recipe: Recipe, count: int, folder: Path) -> Outputs:
    """Return the outputs of a teacher for the rows of the first `count` steps of a recipe."""
    sources = {name: pick.model_dump(mode="json") for name, pick in recipe.sources.items()}
    return Outputs(folder, teacher, steps, count, sources)
