"""The diagonal of the Fisher information: how much each parameter matters to what was learned."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, cast

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, send_to_device
from torch import Tensor

from fusion import build
from fusion.batch import missing
from fusion.data.collate import BadRow, Collator
from fusion.data.draw import Draw
from fusion.data.loader import Loaded, Reader, Steps, load
from fusion.data.order import Order
from fusion.errors import DataError
from fusion.manifest import MANIFEST
from fusion.model import Model
from fusion.objective import Objective
from fusion.priors.information import FISHER
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.run import Run
from fusion.training.checkpoint import write_tensors


class Fisher(NamedTuple):
    """What `fisher` found: the information by parameter, out of how many rows, so many at once."""

    information: dict[str, Tensor]
    rows: int
    batch: int
    bad: list[BadRow]


def fisher(
    model: Model,
    recipe: Recipe,
    registry: Registry,
    accelerator: Accelerator,
    rows: int,
    batch: int | None = None,
) -> Fisher:
    """Return the mean over rows of the squared gradient of the loss: the empirical Fisher (Kunstner 2019).

    Rows come in the order and the shares of the training, as they are, without augmentation and modality
    dropout; the model is in evaluation mode, and all of it has a gradient, what was frozen too. Each rank
    takes its part of the batches.

    By default rows are read one by one if every objective is a task. A loss that compares rows has no
    gradient for a single one: then `batch` is that of the training, and the squared mean gradient of b rows
    is taken times b. That is right as far as their gradients are independent and zero on average (Khan et al.
    2018, Vadam, discuss the squared gradient of a minibatch).

    Rows without any target that the losses read do not count, unless a loss reads none. An adversary, such
    as that of `cdan`, is a part of the loss.

    Raises DataError for a stream, where no row can be read, and where the losses have no gradient.
    """
    batch = batch or (1 if len(model.tasks) == len(model.objectives) else recipe.train.rows)
    model.eval().requires_grad_(True)
    named = dict(model.named_parameters())
    sums = {name: torch.zeros_like(parameter) for name, parameter in named.items()}
    count, bad = torch.zeros(1, device=accelerator.device), []
    for loaded in _batches(model, recipe, registry, accelerator, rows, batch):
        bad += loaded.bad
        read = _taking_part(model, loaded)
        if not read:
            continue
        loss = model(send_to_device(loaded.batch, accelerator.device)).total
        gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        for total, gradient in zip(sums.values(), gradients, strict=True):
            if gradient is not None:
                total.addcmul_(gradient, gradient, value=read * read)
        count += read
    if accelerator.num_processes > 1:
        sums, count, bad = accelerator.reduce(sums), accelerator.reduce(count), gather_object(bad)
    done = int(count)
    if not done:
        raise DataError(f"no row can be read, such as row {bad[0].row} of {bad[0].source!r}: {bad[0].reason}")
    if not any(bool(total.any()) for total in sums.values()):
        raise DataError(
            f"the losses have no gradient for these {done} rows, {batch} at a time; do the rows have the "
            "targets, and is --batch large enough for losses that compare rows?"
        )
    return Fisher({name: total / done for name, total in sums.items()}, done, batch, bad)


def _taking_part(model: Model, loaded: Loaded) -> int:
    if not all(cast(Objective, objective).targets for objective in model.objectives.values()):
        return len(loaded.batch.row) - len(loaded.bad)
    known = [~missing(target).reshape(len(target), -1).all(dim=1) for target in loaded.batch.targets.values()]
    return int(torch.stack(known).any(dim=0).sum())


def write(run: Run, found: Fisher) -> Path:
    """Write the information into the run's folder, whole or not at all; return the file.

    Where the run was signed with an earlier one, its manifest no longer lists that: sign it again.
    """
    file, stage = run.folder / FISHER, run.folder / f".{FISHER}.partial"
    told = {"rows": str(found.rows), "batch": str(found.batch)}
    record = run.manifest
    write_tensors(stage, found.information, told | {"sha256": record["files"][run.model_file.name]})
    if record["files"].pop(FISHER, None):
        run.write_json(MANIFEST, record)
    return stage.replace(file)


def _batches(
    model: Model, recipe: Recipe, registry: Registry, accelerator: Accelerator, rows: int, batch: int
) -> Iterator[Loaded]:
    """Yield this rank's batches, of as many rows as there are at most."""
    sources = build.build_tables(recipe.sources, registry, "sources")
    lengths = {name: len(source) for name, source in sources.items()}
    weights = {name: pick.weight for name, pick in recipe.sources.items()}
    reader = Reader(sources, Collator(model.processors, model.targets()), Draw({}, 0.0, recipe.train.seed))
    steps = Steps(reader, Order(lengths, weights, batch, recipe.train.seed), 0, 1)
    count = math.ceil(min(rows, sum(lengths.values())) / batch)
    mine = range(accelerator.process_index, count, accelerator.num_processes)
    return load(steps, mine, recipe.train.workers)
