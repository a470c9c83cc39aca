"""Evaluate and embed toys on the ranks that this is launched on.

    torchrun --nproc-per-node N -m tests.evaluation.launched FOLDER

With KILL=NUMBER in the environment, the process dies when it reads that row.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from fusion import DataError
from fusion.evaluation import retrieval
from fusion.evaluation.embed import embed
from fusion.evaluation.evaluate import evaluate
from fusion.training.launch import start
from tests.evaluation import toys

OBJECTIVES = {
    "colour": {"name": "classify", "classes": 3},
    "size": {"name": "regress", "target": "amount"},
}
SECTIONS: list[dict[str, Any]] = [
    {"sources": {"near": None, "far": [4, 12, 6, 9, 10]}, "batch": 2},  # 6 and 3 batches
    {"sources": {"near": [0, 1, 2, 3, 4, 5, 6], "far": [8, 9, 11]}, "batch": 3, "limit": 5},
    {"sources": {"test": None}, "batch": 100},  # there is one batch: the other ranks have none
    {
        "sources": {"test": [0, 1, 2, 4, 8, 9]},
        "calibrate": {"held": {"name": "toy-rows", "rows": [3, 0, 5, 6, 11]}},
        "foreign": {"odd": {"name": "toy-rows", "rows": [3, 2, 10, 1]}},
        "batch": 2,
    },
]
PART = 2


class Deadly(toys.ToyRows):
    def __getitem__(self, index: int) -> Mapping[str, Any]:
        if os.environ.get("KILL") == str(index):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def measured(accelerator: Accelerator) -> list[dict[str, Any]]:
    registry = toys.registry()
    found = []
    for section in SECTIONS:
        recipe = toys.recipe(registry, objectives=OBJECTIVES, **section)
        model = toys.model(recipe, registry)
        found.append(evaluate(model, recipe, registry, accelerator, {}).metrics)
    recipe = toys.recipe(registry)
    data = recipe.model_dump()
    data["evaluate"] |= {"sources": {"test": {"name": "toy-captions"}}, "batch": 1}
    captions = type(recipe)(**data)
    found.append(evaluate(toys.model(captions, registry), captions, registry, accelerator, {}).metrics)
    return found


def embedded(folder: Path, accelerator: Accelerator) -> list[Any]:
    registry = toys.registry()
    recipe = toys.recipe(registry, batch=3)
    model = toys.model(recipe, registry)
    return list(embed(model, recipe, "test", folder / "parts", registry, accelerator, weights="w", each=PART))


def refused(folder: Path, accelerator: Accelerator) -> str:
    registry = toys.registry()
    recipe = toys.recipe(registry)
    try:
        embed(toys.model(recipe, registry), recipe, "test", folder, registry, accelerator, weights="w")
    except DataError as error:
        return str(error)
    return ""


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    retrieval.BUDGET = 4  # similarities at once: there is something to divide
    toys.ToyRows = Deadly  # type: ignore[misc]
    accelerator = start()
    told = {
        "embedded": embedded(folder, accelerator),
        "measured": measured(accelerator),
        "refused": refused(folder / "one.parquet", accelerator),
    }
    if accelerator.is_main_process:
        (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
