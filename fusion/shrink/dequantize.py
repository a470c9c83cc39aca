"""Make an ordinary run of a compressed one."""

from pathlib import Path

from fusion import build
from fusion import run as runs
from fusion.compression import Compression
from fusion.errors import RunError
from fusion.registry import Registry
from fusion.run import Run
from fusion.shrink.rebuild import applied, rebuild
from fusion.training.finish import finish
from fusion.training.launch import start
from fusion.transfer.original import plain, rows_of


def dequantize(given: Run | str | Path, out: str | Path, *, registry: Registry | None = None) -> Run:
    """Write a run with the weights that a compressed one stands for, as ordinary floats, and measure it.

    It can be trained, merged and compressed again. What has left ordinary modules, such as pruning, stays on
    record, and so does what was lost by rounding. Raises RunError where nothing of a run can be undone.
    """
    registry = registry or Registry()
    run, place = given if isinstance(given, Run) else Run(given), Path(out)
    runs.expect_free(place)
    done = applied(run)
    chosen = [build.build_compression(one.name, one.options, registry) for one in done]
    undone = [type(compression).expand is not Compression.expand for compression in chosen]
    left = [one for one, gone in zip(done, undone, strict=True) if not gone]
    if left == done:
        names = ", ".join(one.name for one in done) or "nothing was"
        raise RunError(f"{run.folder} has nothing to undo (compressed: {names}); it can be used as it is")
    accelerator = start()
    if accelerator.num_processes > 1:
        raise RunError("this is the work of one process; start it without torchrun")
    model = rebuild(run, registry, expanded=True)
    recipe = plain(run, "dequantized", [], registry)
    seen = rows_of(run.metrics)
    trained = {f"init/rows/{kind}": count for kind, count in (seen or {}).items()}
    metrics = trained if seen is not None else {"init/rows_unknown": True}
    made = runs.create(recipe.name, recipe, place)
    told = {"dequantized": {"run": str(run.folder), "sha256": run.manifest["files"][run.model_file.name]}}
    finish(made, recipe, model.to(accelerator.device), metrics, told, accelerator, registry, left)
    return made
