"""Let a teacher go over the rows of a training, once."""

from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from fusion.data.loader import Steps
from fusion.errors import DataError, RunError
from fusion.recipe import Recipe
from fusion.training.progress import progress
from fusion.transfer.outputs import Outputs
from fusion.transfer.teacher import Teacher


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
