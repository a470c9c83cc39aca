"""Make a smaller run of a run: compress it, train what is left or a student, and keep it if it is as good."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import rmtree
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator

from fusion import run as runs
from fusion.errors import RunError
from fusion.evaluation.evaluate import evaluate
from fusion.hub.fetch import opened
from fusion.inference import Predictor, load
from fusion.recipe.picks import Pick
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.report.files import COMPARISON
from fusion.report.page import render
from fusion.run import Run
from fusion.shrink import comparison, recipes
from fusion.shrink.apply import apply, choose
from fusion.shrink.aside import aside
from fusion.shrink.comparison import Line, compare
from fusion.shrink.look import look
from fusion.shrink.rebuild import applied, rebuild
from fusion.shrink.size import size
from fusion.shrink.speed import rows_to_try, speeds
from fusion.training.finish import finish
from fusion.training.launch import start
from fusion.training.loop import train
from fusion.transfer.original import rows_of


class Compressed(NamedTuple):
    """What came of it: the smaller run, None where the gate did not let it pass, and what was compared."""

    run: Run | None
    record: dict[str, Any]  # as in comparison.json
    worse: list[str]  # why it did not pass


def compress(
    given: Run | str | Path,
    out: str | Path | None = None,
    *,
    chosen: Sequence[Pick] = (),
    recover: int = 0,
    distil: Sequence[str] | None = None,
    steps: int | None = None,
    max_drop: float = 0.01,
    metrics: Sequence[str] = (),
    overrides: Sequence[str] = (),
    registry: Registry | None = None,
) -> Compressed:
    """Apply compressions to a finished run, in order, and return the smaller run, measured against it.

    `recover` is a number of steps that the run's recipe trains on before, while each compression prepares the
    model. `distil` are overrides of the recipe that make a smaller model, which then learns from the run in
    `steps`, by default those of the recipe. `metrics` are keys of metrics.json that may become worse by
    `max_drop`, in their own unit; by default all that the table shows first of each pair, modality and task.
    `overrides` say what is measured, and with `recover` how it is trained.

    Nothing is left of a run that does not pass, or that is interrupted; `given` is only read. Raises
    RecipeError, DataError, PluginError or RunError.
    """
    registry = registry or Registry()
    run, place = opened(given), Path(out) if out else None
    runs.expect_free(place)
    if not chosen and distil is None:
        raise RunError("nothing says how the run becomes smaller; give --with NAME, or --distil KEY=VALUE")
    if recover and distil is not None:
        raise RunError("a student is trained anyway; give either --recover or --distil, with --steps")
    if max_drop < 0:
        raise RunError(f"--max-drop is {max_drop:g}; give how much worse a metric may be, from 0")
    choose(chosen, registry)  # what is wrong is said before anything is computed
    accelerator = start()
    if accelerator.num_processes > 1:
        raise RunError("compressing is the work of one process; start it without torchrun")
    before = load(run, accelerator.device, registry)
    if distil is not None:
        recipe = recipes.distilled(run, steps, [*distil, *overrides], registry)
    elif recover:
        recipe = recipes.recovered(run, recover, overrides, registry)
    else:
        recipe = recipes.compressed(run, overrides, registry)
    measured = evaluate(before.model, recipe, registry, accelerator, run.metrics).metrics
    asked = _gate(before, measured, metrics)
    with aside(place or runs.RUNS / recipe.name) as stage:
        if recover or distil is not None:
            made = train(recipe, stage, compress=chosen, registry=registry)
            rmtree(made.checkpoints)
        else:
            made = _compressed(run, recipe, chosen, stage, accelerator, registry)
        after = load(made, accelerator.device, registry)
        lines = compare(measured, made.metrics, *asked, max_drop)
        lines += _costs(run, made, before, after, registry)
        record = {
            "run": str(run.folder),
            "sha256": run.manifest["files"][run.model_file.name],
            "by": [{"name": one.name, "options": one.options} for one in applied(made)],
            "trained": recipe.train.steps if recover or distil is not None else 0,
            "max_drop": max_drop,
            "device": str(accelerator.device),
            "threads": torch.get_num_threads(),
            "lines": [line._asdict() for line in lines],
        }
        if worse := [comparison.told(line) for line in lines if line.kept is False]:
            return Compressed(None, record, worse)
        made.write_json(COMPARISON, record)
        made = runs.settle(made, recipe.name, place)
    render(made.folder)  # its title is the name of the folder
    return Compressed(made, record, [])


def _compressed(
    run: Run,
    recipe: Recipe,
    chosen: Sequence[Pick],
    stage: Path,
    accelerator: Accelerator,
    registry: Registry,
) -> Run:
    model = rebuild(run, registry)
    model.merge()
    built = choose(chosen, registry)
    batches = look(model, recipe, registry, (one.compression for one in built))
    done = [*applied(run), *apply(model, built, batches)]
    seen = rows_of(run.metrics)
    trained = {f"init/rows/{kind}": count for kind, count in (seen or {}).items()}
    made = runs.create(recipe.name, recipe, stage)
    told = {"compressed": {"run": str(run.folder), "sha256": run.manifest["files"][run.model_file.name]}}
    metrics = trained if seen is not None else {"init/rows_unknown": True}
    finish(made, recipe, model.to(accelerator.device), metrics, told, accelerator, registry, done)
    return made


def _gate(
    before: Predictor, measured: Mapping[str, Any], metrics: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return the keys that are compared, and those that decide. Raises RunError where there are none."""
    names = [str(name) for task in before.model.tasks.values() for name in task.metrics()]
    shown, deciding = comparison.headlines(measured, names)
    asked = [metric.removeprefix("-") for metric in metrics]
    comparison.expect_known(asked, measured)
    if not (asked or deciding):
        raise RunError(
            "nothing is measured by which a smaller model could be judged; "
            "add evaluate.sources.NAME.name=... with rows to measure on"
        )
    return list(dict.fromkeys([*shown, *asked])), asked or deciding


def _costs(run: Run, made: Run, before: Predictor, after: Predictor, registry: Registry) -> list[Line]:
    then, now = (size(one.model_file) for one in (run, made))
    slow, fast = speeds([before, after], rows_to_try(after.recipe, after, registry))
    return [
        Line("file/bytes", then.bytes, now.bytes),
        Line("file/zeros", then.zeros, now.zeros),
        Line("one row/p50 ms", slow.p50, fast.p50),
        Line("one row/p95 ms", slow.p95, fast.p95),
        Line("64 rows/rows a second", slow.rows_per_second, fast.rows_per_second),
    ]
