"""Count what each rank holds of a training, and try its steps.

    python -m torch.distributed.run --nproc-per-node 2 holding.py sharded|zero RECIPE FOLDER

Rank r writes FOLDER/r.json.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.distributed.tensor import DTensor

from fusion import Model, Recipe, Registry
from fusion.batch import Batch
from fusion.build import build_model
from fusion.recipe.file import read_recipe
from fusion.training.gather import gather
from fusion.training.guard import step_where
from fusion.training.launch import launch
from fusion.training.optimizer import optimizer
from fusion.training.sharding import Sharded
from fusion.training.steps import training_steps
from fusion.training.watch import together
from fusion.training.zero import Zero


def total(model: Model) -> float:
    return sum(part.double().abs().sum().item() for part in model.parameters())


def sharded(model: Model, recipe: Recipe, accelerator: Accelerator, batch: Batch) -> dict[str, Any]:
    whole, drawn = sum(part.numel() for part in model.encoders.parameters()), total(model)
    wrapped = Sharded(model, recipe, accelerator)
    begun = total(wrapped.gathered())
    adamw = optimizer(model, recipe)
    completed = wrapped.complete(batch)
    wrapped(completed, None).total.backward()
    wrapped.clip(1.0)

    def local() -> list[Tensor]:
        return [part.to_local().clone() for part in model.encoders.parameters()]

    before = local()
    step_where(torch.tensor(False), adamw)  # as on a GPU
    left = all(map(torch.equal, local(), before))
    step_where(torch.tensor(True), adamw)
    held = {"parameters": 0, "gradients": 0, "exp_avg": 0, "exp_avg_sq": 0}
    for part in model.encoders.parameters():
        assert isinstance(part, DTensor)
        for key, value in {"parameters": part, "gradients": part.grad, **adamw.state[part]}.items():
            if key in held:
                held[key] += value.to_local().numel()
    return {
        "whole": whole,
        "drawn": drawn,
        "begun": begun,
        "absent": [name for name in batch.present if name not in batch.inputs],
        "inputs": list(completed.inputs),
        "of none": list(wrapped.complete(batch._replace(inputs={})).inputs),
        "left": left,
        "moved": not all(map(torch.equal, local(), before)),
        "held": held,
    }


def zero(model: Model, recipe: Recipe, accelerator: Accelerator, batch: Batch) -> dict[str, Any]:
    wrapped = Zero(model, recipe, accelerator)
    adamw = wrapped.optimizer(optimizer(model, recipe))
    told: dict[str, Any] = {}

    def weights() -> dict[str, Tensor]:
        return {name: part.detach().clone() for name, part in model.named_parameters()}

    def step(finite: bool) -> None:
        wrapped(batch, gather).total.backward()
        told["had"] = {name: part.numel() for name, part in model.named_parameters() if part.grad is not None}
        wrapped.clip(1.0)
        step_where(torch.tensor(finite), adamw.optimizer)  # as on a GPU
        adamw.zero_grad()

    drawn = weights()
    step(False)
    told["left"] = all(part.equal(drawn[name]) for name, part in weights().items())
    step(True)
    with torch.no_grad():
        model.encoders.image.layer.weight.fill_(2.0)  # who writes into weights is not overruled
    for group in adamw.param_groups:
        group["lr"] = 0.0
    step(True)
    held: dict[str, int] = {}
    for state in adamw.adamw.state.values():
        for key, value in state.items():
            held[key] = held.get(key, 0) + value.numel()
    now = weights()
    return told | {
        "held": held,
        "moved": not all(part.equal(drawn[name]) for name, part in now.items()),
        "written": now["encoders.image.layer.weight"].unique().tolist(),
        "sum": total(model),
    }


@together
def main(way: str, path: str, folder: str) -> None:
    registry = Registry()
    recipe = read_recipe(path, registry=registry)
    accelerator = launch(recipe.train)
    torch.manual_seed(accelerator.process_index)  # as whoever draws without a seed
    model = build_model(recipe, registry)
    step = training_steps(recipe, model, registry, accelerator.process_index, 2)[0]
    told = {"sharded": sharded, "zero": zero}[way](model, recipe, accelerator, step.batch)
    Path(folder, f"{accelerator.process_index}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
