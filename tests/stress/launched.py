"""Measure toys under stress on the ranks that this is launched on.

torchrun --nproc-per-node N -m tests.stress.launched FILE
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from fusion.evaluation import retrieval
from fusion.stress.attack import Attacks
from fusion.training.launch import start
from tests.evaluation import toys
from tests.stress.toys import Rolled, attackable, measured

SECTIONS: list[dict[str, Any]] = [
    {"sources": {"near": None, "far": [4, 12, 6, 9, 10]}, "batch": 2},  # 6 and 3 batches
    {"sources": {"test": None}, "batch": 100},  # there is one batch: the other ranks have none
]


def main(file: Path) -> None:
    torch.set_num_threads(1)
    retrieval.BUDGET = 4  # similarities at once: there is something to divide
    accelerator = start()
    recipes = [toys.recipe(toys.registry(), **section) for section in SECTIONS]
    records = [measured(recipe, severities=[2, 5], rows=11, accelerator=accelerator) for recipe in recipes]
    records.append(measured(recipes[0], stress=Rolled(), accelerator=accelerator))
    attacks = Attacks(recipes[0], toys.registry(), kinds=[], severities=[0.2, 0.4])
    model = attackable(recipes[0])
    records.append(measured(recipes[0], stress=attacks, accelerator=accelerator, model=model))
    if accelerator.is_main_process:
        file.write_text(json.dumps([record.model_dump() for record in records]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
