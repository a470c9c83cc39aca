"""Index the toys on ranks: torchrun --nproc-per-node N -m tests.search.launched FOLDER"""

import json
import sys
from functools import partial
from pathlib import Path

import torch

from fusion import Run
from fusion.evaluation.embed import embed
from fusion.search import update as updating
from fusion.search.rows import Rows
from fusion.training.launch import start
from tests.evaluation import toys


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    updating.embed = partial(embed, each=3)
    accelerator, registry, run = start(), toys.registry(), Run(folder)
    model = toys.model(run.recipe, registry)
    told = []
    for options in ({}, {"remove": Rows.read("4,5")}, {"add": Rows.read("5")}):
        made = updating.update(run, model, run.recipe, "test", registry, accelerator, **options)
        accelerator.wait_for_everyone()
        told.append([made.added, made.gone, made.rows, made.record.left_out, [bad.row for bad in made.bad]])
    if accelerator.is_main_process:
        (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
