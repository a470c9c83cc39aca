"""What a training has left of what its earlier model could, and what that model could before the training."""

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor

from fusion import build
from fusion.evaluation.evaluate import evaluate
from fusion.hub.fetch import located
from fusion.model import part_of
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.run import Run
from fusion.transfer.initial import initial_model, weights_of

FILE = "retention.json"
CARRIED = ("encoders", "align", "fuser")  # the parts of a model that the next training goes on with


class Retention(NamedTuple):
    """Metrics of the earlier run's evaluation: its own, and those of it with what was learned since.

    `before` are those of the later run's evaluation at step 0.
    """

    earlier: Mapping[str, Any]
    after: Mapping[str, Any]
    before: Mapping[str, Any]


def retention(run: Run, registry: Registry, accelerator: Accelerator) -> Retention | None:
    """Return what a run has left of the run that it started from; None where that is not to be had.

    Measured once and kept in the later run's folder for these two weights. The earlier model keeps its heads;
    of each other part that has the same tensors in both, it gets the later ones, adapters merged into their
    weights. All ranks call it; the metrics are those of the main process. Raises DataError where the rows
    to measure on are gone, and RunError where weights are damaged.
    """
    record = run.manifest.get("init")
    if record is None:
        return None
    digests = {"earlier": record["sha256"], "later": run.manifest["files"][run.model_file.name]}
    kept = run.read_json(FILE) if (run.folder / FILE).is_file() else {}
    if kept.get("sha256") == digests:
        return Retention(kept["earlier"], kept["after"], kept["before"])
    earlier = _earlier(record)
    if earlier is None:
        return None
    if accelerator.is_main_process:
        print(f"{run.folder.name}: what is left of {earlier.folder}", file=sys.stderr)
    after = _after(run, earlier, registry, accelerator)
    if after is None:
        return None
    torch.manual_seed(run.recipe.train.seed)  # the parts that are new were drawn so
    model, _ = initial_model(run.recipe, registry)
    before = evaluate(model.to(accelerator.device), run.recipe, registry, accelerator, run.metrics).metrics
    found = Retention({key: earlier.metrics[key] for key in after if key in earlier.metrics}, after, before)
    if accelerator.is_main_process:
        run.write_json(FILE, {"sha256": digests, **found._asdict()})
    return found


def _earlier(record: Mapping[str, Any] | None) -> Run | None:
    """Return the run whose weights a manifest says were taken, if it is still what it was."""
    folder = None if record is None else located(record["init"])
    if record is None or folder is None or not (folder / "manifest.json").is_file():
        return None
    run = Run(folder)
    return run if run.manifest["files"].get(run.model_file.name) == record["sha256"] else None


def _after(run: Run, earlier: Run, registry: Registry, accelerator: Accelerator) -> dict[str, Any] | None:
    recipe: Recipe = earlier.recipe
    old, _ = weights_of(earlier, registry)
    new, _ = weights_of(run, registry)
    carried = _same_parts(old, new)
    if not carried:
        return None
    folders = {name: earlier.assets / name for name in recipe.modalities}
    model = build.assemble(recipe, registry, folders)
    model.load_state_dict({name: new[name] if part_of(name) in carried else old[name] for name in old})
    return evaluate(model.to(accelerator.device), recipe, registry, accelerator, earlier.metrics).metrics


def _same_parts(old: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> set[str]:
    """Return the parts that go on, such as "encoders.image", of which both have the same names and shapes."""
    shapes = [
        {
            part: {name: value.shape for name, value in weights.items() if part_of(name) == part}
            for part in {part_of(name) for name in weights}
            if part.partition(".")[0] in CARRIED
        }
        for weights in (old, new)
    ]
    return {part for part, names in shapes[0].items() if shapes[1].get(part) == names}
