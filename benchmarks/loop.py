"""What a step of fusion.train costs beside a bare PyTorch loop over the same model and batches.

    python benchmarks/loop.py [steps] [rounds]

Both with fused AdamW, from the end of the first step to that of the last, measured in turns. In the tiny form
of the recipe hardly anything is left to compute: there the difference is what the loop adds to a step.
"""

import sys
import time

import clock
import torch
from table import in_turns, row

from fusion import Recipe, Registry, read_recipe
from fusion.build import build_model
from fusion.data.loader import load
from fusion.picks import shrink
from fusion.training.optimizer import optimizer
from fusion.training.steps import training_steps

GLUE_MS = 0.5
"""What the loop may add to a step."""


def bare(recipe: Recipe, registry: Registry) -> float:
    """Return the seconds of the shortest loop that does the same arithmetic, without its first step."""
    torch.manual_seed(recipe.train.seed)
    model = build_model(recipe, registry)
    steps = training_steps(recipe, model, registry)
    adamw = optimizer(model, recipe)
    began = 0.0
    for number, loaded in enumerate(load(steps, range(recipe.train.steps), recipe.train.workers)):
        model(loaded.batch).total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.train.clip or float("inf"))
        adamw.step()
        adamw.zero_grad()
        if number == 0:
            began = time.monotonic()
    return time.monotonic() - began


def main(steps: int = 60, rounds: int = 5) -> None:
    registry = Registry()
    overrides = ["evaluate.sources={}", "evaluate.zero_shot=null"]
    recipe = read_recipe("bind_digits", [*overrides, f"train.steps={steps}"], registry)
    ours, shortest = in_turns(rounds, lambda: clock.seconds(recipe), lambda: bare(recipe, registry))
    per_step = [[1e3 * seconds / (steps - 1) for seconds in column] for column in (ours, shortest)]
    row("step of bind_digits, a bare loop", *per_step, "ms", 1.02)

    tiny = shrink(recipe, registry)
    tiny = tiny.model_copy(update={"train": tiny.train.model_copy(update={"steps": 10 * steps})})
    ours, shortest = in_turns(rounds, lambda: clock.seconds(tiny), lambda: bare(tiny, registry))
    pairs = zip(ours, shortest, strict=True)
    glue = [1e3 * (first - second) / (10 * steps - 1) for first, second in pairs]
    row(f"what the loop adds to a step, {GLUE_MS} ms", glue, [GLUE_MS] * len(glue), "ms", 1.0)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
