"""What a step of fusion.train costs beside a bare PyTorch loop over the same model and batches.

    python benchmarks/loop.py [steps] [rounds]

Prints the median seconds of both and the median ratio, each pair measured one after the other.
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

from fusion import Registry, read_recipe, train
from fusion.build import build_model
from fusion.data.loader import load
from fusion.recipe import Recipe
from fusion.training.optimizer import optimizer
from fusion.training.steps import training_steps


def ours(recipe: Recipe, registry: Registry) -> float:
    """Return the seconds that fusion.train spends in its loop."""
    with tempfile.TemporaryDirectory() as folder:
        run = train(recipe, Path(folder) / "run", registry=registry)
        return float(run.metrics["train/seconds"])


def bare(recipe: Recipe, registry: Registry) -> float:
    """Return the seconds of the shortest loop that does the same arithmetic."""
    torch.manual_seed(recipe.train.seed)
    model = build_model(recipe, registry)
    steps = training_steps(recipe, model, registry)
    adamw = optimizer(model, recipe)
    began = time.monotonic()
    for loaded in load(steps, range(recipe.train.steps), recipe.train.workers):
        model(loaded.batch).total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.train.clip or float("inf"))
        adamw.step()
        adamw.zero_grad()
    return time.monotonic() - began


def main(steps: int = 60, rounds: int = 5) -> None:
    registry = Registry()
    overrides = [f"train.steps={steps}", "evaluate.sources={}", "evaluate.zero_shot=null"]
    recipe = read_recipe("bind_digits", overrides, registry)
    _, *pairs = [(ours(recipe, registry), bare(recipe, registry)) for _ in range(rounds + 1)]
    rows = steps * recipe.train.batch
    print(f"{rounds} rounds of {steps} steps of bind_digits, {torch.get_num_threads()} threads")
    for name, column in zip(("fusion.train", "bare loop"), zip(*pairs, strict=True), strict=True):
        print(f"{name:14} {median(column):7.2f} s  {rows / median(column):8.0f} rows/s")
    print(f"ratio          {median(first / second for first, second in pairs):7.2f}")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
