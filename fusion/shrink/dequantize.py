"""Make an ordinary run of a compressed one."""

from pathlib import Path

from fusion import run as runs
from fusion.errors import RunError
from fusion.hub.fetch import opened
from fusion.registry import Registry
from fusion.report.page import render
from fusion.run import Run
from fusion.shrink.aside import aside
from fusion.shrink.rebuild import applied, rebuild, undo
from fusion.training.finish import finish
from fusion.training.launch import start
from fusion.transfer.original import plain, rows_of


def dequantize(given: Run | str | Path, out: str | Path, *, registry: Registry | None = None) -> Run:
    """Write a run with the weights that a compressed one stands for, as ordinary floats, and measure it.

    It can be trained, merged and compressed again. What was lost by rounding stays lost, zeros stay zeros,
    and what cannot be undone, such as channels that were taken out, stays on record.

    Nothing is left at `out` of what fails or is interrupted; `given` is only read. Raises RunError where all
    modules of a run are ordinary ones, and where what stays on record needs those that are undone.
    """
    registry = registry or Registry()
    run, place = opened(given), Path(out)
    runs.expect_free(place)
    accelerator = start()
    if accelerator.num_processes > 1:
        raise RunError("this is the work of one process; start it without torchrun")
    done = applied(run)
    model = rebuild(run, registry)
    undone, left = undo(model, done, registry)
    if not undone:
        names = ", ".join(one.name for one in done) or "nothing was"
        raise RunError(f"{run.folder} has nothing to undo (compressed: {names}); it can be used as it is")
    recipe = plain(run, "dequantized", [], registry)
    seen = rows_of(run.metrics)
    trained = {f"init/rows/{kind}": count for kind, count in (seen or {}).items()}
    metrics = trained if seen is not None else {"init/rows_unknown": True}
    told = {"dequantized": {"run": str(run.folder), "sha256": run.manifest["files"][run.model_file.name]}}
    with aside(place) as stage:
        made = runs.create(recipe.name, recipe, stage)
        finish(made, recipe, model.to(accelerator.device), metrics, told, accelerator, registry, left)
        try:
            rebuild(made, registry)
        except RunError as error:
            names = ", ".join(one.name for one in left)
            raise RunError(
                f"{run.folder} cannot be undone: what {names} has written is of modules that are there no "
                "longer; give the run that it was made from"
            ) from error
        made = runs.settle(made, recipe.name, place)
    render(made.folder)  # its title is the name of the folder
    return made
