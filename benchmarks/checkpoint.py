"""What checkpoints cost: bind_digits with one in 100 steps beside bind_digits with none, in turns.

    python benchmarks/checkpoint.py [rounds] [steps]

Both write the checkpoint of the last step, of which nothing is measured. Prints the median seconds of both,
of the clock and of the processor in all threads, and the median ratio of pairs. Then what a checkpoint alone
takes: how long the training stands still, and the processor's seconds of all of it, with the writing beside
the training; and what share these are of 100 steps. A checkpoint in 100 steps may cost 2 %.
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

from fusion import Recipe, Registry, read_recipe, train
from fusion.build import build_model
from fusion.data.loader import load
from fusion.run import create
from fusion.training.launch import launch
from fusion.training.optimizer import optimizer
from fusion.training.progress import progress
from fusion.training.saving import Saver
from fusion.training.steps import training_steps

EVERY = 100


def trained(recipe: Recipe, every: int, registry: Registry) -> tuple[float, float]:
    """Return the seconds of the loop, and the processor's seconds of the whole training."""
    recipe = recipe.model_copy(update={"train": recipe.train.model_copy(update={"checkpoint_every": every})})
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        run = train(recipe, Path(folder) / "run", registry=registry)
        return float(run.metrics["train/seconds"]), time.process_time() - began


def saved(recipe: Recipe, registry: Registry, rounds: int) -> tuple[float, float, int]:
    """Return how long a save holds up the training, the processor's seconds of all of it, and its bytes."""
    accelerator = launch(recipe.train)
    model = build_model(recipe, registry)
    adamw = accelerator.prepare(optimizer(model, recipe))
    for loaded in load(training_steps(recipe, model, registry), range(4), 0):  # until all have moments
        model(loaded.batch).total.backward()
        adamw.step()
        adamw.zero_grad()
    stood, took = [], []
    with tempfile.TemporaryDirectory() as folder, progress("", 1, main=False) as shown:
        run = create("run", recipe, Path(folder) / "run")
        with Saver(run, recipe.train.keep, model, adamw, accelerator, shown, {}) as saver:
            for step in range(rounds + 1):
                before, began = time.process_time(), time.perf_counter()
                saver.save(step, 0.0, {}, lambda until: None)
                stood.append(time.perf_counter() - began)
                saver.wait()
                took.append(time.process_time() - before)
        size = sum(path.stat().st_size for path in run.checkpoints.rglob(f"step-{rounds:08d}/*"))
    return median(stood[1:]), median(took[1:]), size


def main(rounds: int = 5, steps: int = 201) -> None:
    registry = Registry()
    recipe = read_recipe("bind_digits", [f"train.steps={steps}", "evaluate={sources: {}}"], registry)
    stood, took, size = saved(recipe, registry, 20)
    pairs = []
    for number in range(rounds):
        order = (EVERY, steps + 1)[:: 1 if number % 2 else -1]
        turn = {every: trained(recipe, every, registry) for every in order}
        pairs.append((*turn[EVERY], *turn[steps + 1]))
    print(
        f"{rounds} rounds of {steps} steps, {torch.get_num_threads()} threads; checkpoints of {size:,} bytes"
    )
    for name, place in (("seconds", 0), ("processor's", 1)):
        ours, never = (median(pair[place + 2 * other] for pair in pairs) for other in (0, 1))
        ratio = median(pair[place] / pair[place + 2] for pair in pairs)
        print(f"{name:12} one in {EVERY} {ours:7.2f}   none {never:7.2f}   ratio {ratio:.3f}")
    whole = median(pair[3] for pair in pairs) * EVERY / steps
    print(f"one checkpoint: {1000 * stood:.1f} ms of standing still, {1000 * took:.1f} ms of the processor")
    print(f"of {EVERY} steps ({whole:.1f} s): {stood / whole:.2%} and {took / whole:.2%}")
    cost = 1 + took / whole
    print(f"bind_digits with a checkpoint in {EVERY} steps | {cost:.4f} | 1 | {cost:.4f} | at most 1.02")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
