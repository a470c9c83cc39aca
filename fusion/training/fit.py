"""Find the largest batch that fits into memory, by trying."""

import gc
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch import Tensor

from fusion.batch import Batch
from fusion.data.loader import Steps
from fusion.data.order import Order
from fusion.errors import DataError, TrainingError
from fusion.losses import Rows
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.run import expect_free, resumable
from fusion.training.agree import agreed
from fusion.training.memory import limit, moments, peak
from fusion.training.steps import training_steps
from fusion.transfer.initial import initial_model

FIRST = 8  # rows of a process that are tried first
MOST = 2**16
SECONDS = 60.0  # after which no larger batch is tried

Autocast = Callable[[], AbstractContextManager[None]]


class Fit(NamedTuple):
    """A batch that fits, and how it was found."""

    batch: int
    told: str | None


class Tried(NamedTuple):
    """The bytes that a process needs for a batch, and why it does not fit if it does not."""

    bytes: float
    why: str = ""


def fit(
    recipe: Recipe, registry: Registry, device: torch.device, ranks: int = 1, autocast: Autocast = nullcontext
) -> Fit:
    """Return the largest batch of 8, 16, 32 ... rows on each of `ranks`, or of 4, 2, 1, that fits.

    It is tried with the first rows of the training and a model that is thrown away, set to the last step,
    when most of it learns. Raises TrainingError where no batch fits, and what the training would raise.
    """
    torch.manual_seed(recipe.train.seed)
    trial = _Trial(recipe, registry, device, ranks, autocast)
    tried: dict[int, Tried] = {}

    def fits(rows: int) -> bool:
        tried[rows] = trial(rows)
        return not tried[rows].why

    began = time.monotonic()
    rows = FIRST
    if fits(rows):
        while rows < MOST and time.monotonic() - began < SECONDS and fits(2 * rows):
            rows *= 2
    else:
        rows //= 2
        while rows and not fits(rows):
            rows //= 2
    if not rows:
        raise TrainingError(f"no train.batch fits: {tried[1].why}; give more train.memory_gb, or a batch")
    beyond = tried.get(2 * rows)
    why = f"no more are tried after {time.monotonic() - began:.0f} s" if beyond is None else beyond.why
    each = "" if ranks == 1 else f", {rows} for each process,"
    return Fit(
        rows * ranks,
        f"train.batch {rows * ranks}, found by trying: these rows{each} take about "
        f"{tried[rows].bytes / 1e9:.2f} of {trial.limit / 1e9:.2f} GB ({why}); train.lr stays "
        f"{recipe.train.lr:g}",
    )


def settle(
    recipe: Recipe, out: Path | None, resume: bool, registry: Registry, accelerator: Accelerator
) -> tuple[Recipe, str | None]:
    """Return the recipe with a number as `train.batch`, and how it was found if it was not there.

    One process tries and all hear of it; a run that goes on has its batch.
    """
    if recipe.train.batch != "auto":
        return recipe, None

    def decide() -> Fit:
        if resume:
            return Fit(resumable(recipe.name, out).recipe.train.rows, None)
        expect_free(out)
        return fit(recipe, registry, accelerator.device, accelerator.num_processes, accelerator.autocast)

    found = agreed(decide, accelerator)
    gc.collect()  # what was tried must not take memory from what is trained
    return with_batch(recipe, found.batch), found.told


def with_batch(recipe: Recipe, batch: int) -> Recipe:
    """Return the recipe with this number of rows."""
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"batch": batch})})


class _Trial:
    """Tries how much memory a step takes."""

    def __init__(
        self, recipe: Recipe, registry: Registry, device: torch.device, ranks: int, autocast: Autocast
    ) -> None:
        self.device, self.ranks, self.autocast = device, ranks, autocast
        self.limit = limit(device, recipe.train.memory_gb)
        self.model, _ = initial_model(recipe, registry)
        self.model.to(device).start_step(recipe.train.steps - 1, recipe.train.steps)
        self.model.train()
        self.steps = training_steps(with_batch(recipe, ranks), self.model, registry, 0, ranks)
        self.weights = {name: pick.weight for name, pick in recipe.sources.items()}

    def __call__(self, rows: int) -> Tried:
        order = self.steps.order
        try:
            larger = Order(order.sizes, self.weights, rows * self.ranks, order.seed)
            batch = Steps(self.steps.reader, larger, 0, self.ranks)[0].batch
            need = self._need(send_to_device(batch, self.device))
        except torch.OutOfMemoryError:
            return Tried(math.inf, f"{rows * self.ranks} do not fit into the device's memory")
        except DataError as error:
            return Tried(math.inf, str(error))
        finally:
            self.model.zero_grad()
            gc.collect()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        return Tried(need, f"{rows * self.ranks} take {need / 1e9:.2f} GB" if need > self.limit else "")

    def _need(self, batch: Batch) -> float:
        """Return the bytes that a process holds at most in a step, with the moments of the optimiser."""
        gather = None if self.ranks == 1 else partial(_repeated, times=self.ranks)
        with peak(self.device) as most:
            with self.autocast():
                losses = self.model(batch, gather)
            losses.total.backward()
        buckets = 0 if self.ranks == 1 else moments(self.model) / 2  # of DistributedDataParallel
        return most[0] + moments(self.model) + buckets


def _repeated(rows: Rows, times: int) -> Rows:
    """Return the rows as often as there are ranks: as many as the losses will see."""

    def repeat(tensor: Tensor) -> Tensor:
        return tensor.repeat(times, *[1] * (tensor.ndim - 1))

    embeddings = rows.embeddings
    dicts = ("pooled", "present", "content")
    many = {
        field: {name: repeat(tensor) for name, tensor in getattr(embeddings, field).items()}
        for field in dicts
    }
    return Rows(
        embeddings._replace(**many, source=repeat(embeddings.source)),
        repeat(rows.fused),
        {name: repeat(target) for name, target in rows.targets.items()},
    )
