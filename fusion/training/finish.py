"""Make a run of a model: weights, what was measured, manifest and report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from fusion import run as runs
from fusion.data import lines
from fusion.evaluation.evaluate import evaluate
from fusion.files import fsync, sha256
from fusion.model import Model
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.run import Run
from fusion.shrink import rebuild
from fusion.shrink.rebuild import Applied
from fusion.training import checkpoint
from fusion.training.fit import with_batch


def finish(
    run: Run,
    recipe: Recipe,
    model: Model,
    metrics: Mapping[str, Any],
    told: Mapping[str, Any],
    accelerator: Accelerator,
    registry: Registry,
    compressed: Sequence[Applied] = (),
) -> None:
    """Save the model, evaluate it on all ranks, and write what the run folder still lacks.

    `metrics` are those of the training, `told` is what the manifest says beyond versions and files, and
    `compressed` is what has been applied to the model.
    """
    from fusion.report.page import render

    metrics = {**metrics, **{f"parameters/{name}": count for name, (count, _) in model.count().items()}}
    if accelerator.is_main_process:
        checkpoint.write_tensors(run.model_file, model.state_dict())
    evaluation = evaluate(model, recipe, registry, accelerator, metrics)
    if accelerator.is_main_process:
        run.write_json("metrics.json", {**metrics, **evaluation.metrics})
        run.write_json("evaluation.json", evaluation.details)
        if evaluation.bad:
            lines.append(run.folder / "ledger.jsonl", (row._asdict() for row in evaluation.bad))
        saved = [
            run.folder / "recipe.yaml",
            run.model_file,
            *model.save_assets(run.assets),
            *rebuild.write(run, compressed),
        ]
        if evaluation.temperatures:
            run.write_json(run.calibration_file.name, evaluation.temperatures)
            saved.append(run.calibration_file)
        for path in saved:
            fsync(path)
        digests = {str(path.relative_to(run.folder)): sha256(path) for path in saved}
        record = runs.manifest(recipe, registry, model.pretrained, digests, [one.name for one in compressed])
        run.write_json("manifest.json", {**record, **told})
        render(run.folder)
        registry.notify("fusion_train_end", run=run)
    accelerator.wait_for_everyone()


def with_page(recipe: Recipe, out: Path | None) -> Run | None:
    """Return the run to resume where its page alone is missing, which is written; otherwise nothing.

    It was killed after its manifest. Raises RunError where it is of another recipe.
    """
    from fusion.report.page import render

    run = runs.started(recipe.name, out)
    if not run.finished or run.report.is_file():
        return None
    runs.expect_same(
        run, with_batch(recipe, run.recipe.train.rows) if recipe.train.batch == "auto" else recipe
    )
    render(run.folder)
    return run
