"""Train the toy with a compression on the ranks that this is launched on.

torchrun --nproc-per-node N tests/shrink/launched.py FOLDER
"""

import sys
from pathlib import Path

from fusion import read_recipe, train
from fusion.recipe.picks import Pick

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    chosen = [Pick.model_validate({"name": "low-rank", "energy": 0.6})]
    train(read_recipe(folder / "toy.yaml"), folder / "two", compress=chosen)
