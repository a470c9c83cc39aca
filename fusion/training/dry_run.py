"""Build a recipe, run one step of it, and say what it takes; nothing is kept."""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch

from fusion import build
from fusion.batch import Batch, Target
from fusion.cache.fill import Filler
from fusion.cache.folder import Folder
from fusion.cache.machine import Machine
from fusion.data.collate import Collator
from fusion.data.loader import Loaded, Reader, Steps, Sweep
from fusion.errors import DataError
from fusion.fitted import fitted
from fusion.losses import Losses
from fusion.model import Model, part_of
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.training.adversary import adversary
from fusion.training.anchors import anchor
from fusion.training.fit import fit, with_batch
from fusion.training.memory import Graphs, limit, moments, peak_mb, used
from fusion.training.micro import cached
from fusion.training.optimizer import optimizer
from fusion.training.steps import training_steps
from fusion.training.teach import learn
from fusion.transfer.initial import initial_model
from fusion.transfer.outputs import Outputs
from fusion.transfer.teacher import Teacher, open_teacher

CPU = torch.device("cpu")
ROWS = 16
"""Rows of each evaluation source that are read."""


class Share(NamedTuple):
    """How many rows a source has, None if it is a stream, and how many of them are in the first batch."""

    rows: int | None
    in_batch: int


class Part(NamedTuple):
    """Parameters of a part of the model, how many of them are trained, and where it comes from."""

    parameters: int
    trained: int
    origin: str


class Group(NamedTuple):
    """Parameters with a learning rate and a weight decay of their own, and the parts that they are of."""

    lr: float
    weight_decay: float
    parameters: int
    parts: list[str]


class Lesson(NamedTuple):
    """What it takes to let the teacher go over the rows that a training reads."""

    rows: int
    seconds: float
    disk_mb: float


class DryRun(NamedTuple):
    """What one step of a recipe showed, on the CPU."""

    batch: str | None  # how it was found
    init: str | None  # what became of the weights that the recipe starts from
    teacher: Lesson | None
    prior: str | None  # what it holds
    sources: dict[str, Share]
    present: dict[str, int]  # rows of the batch that have a modality
    parts: dict[str, Part]
    groups: list[Group]  # of the optimiser
    losses: dict[str, float]
    memory_mb: float  # weights, gradients and two moments in fp32, and what a prior keeps
    peak_mb: float  # of this process
    seconds: float
    prior_seconds: float  # of a step
    total_seconds: float


def dry_run(recipe: Recipe, registry: Registry) -> DryRun:
    """Return what the first step of a recipe shows. Raises what training would raise."""
    recipe = fitted(recipe, registry)
    found = fit(recipe, registry, CPU) if recipe.train.batch == "auto" else None
    if found is not None:
        recipe = with_batch(recipe, found.batch)
    torch.manual_seed(recipe.train.seed)
    model, start = initial_model(recipe, registry)
    teacher = open_teacher(recipe, model, registry)
    anchors = anchor(recipe, model, start, registry)
    steps = training_steps(recipe, model, registry)
    loaded, lesson = (steps[0], None) if teacher is None else _taught(teacher, steps, recipe, registry)
    if len(loaded.bad) == recipe.train.rows:
        first = loaded.bad[0]
        raise DataError(
            f"sources.{first.source}: no row of the first batch can be read, "
            f"such as row {first.row}: {first.reason}"
        )
    try_evaluation(recipe, model, registry)
    attacked = adversary(recipe, model, registry)
    graphs = Graphs(model, limit(CPU, recipe.train.memory_gb) - used(CPU) - 1.5 * moments(model))
    _step(model, loaded.batch, graphs)  # warm up, so that the time is that of a later step
    began = time.monotonic()
    losses = _step(model.train(), attacked(loaded.batch, 0), graphs)
    seconds = time.monotonic() - began
    adamw = optimizer(model, recipe, anchors.held)
    anchors.attach(adamw)
    began, pulling = time.monotonic(), 0.0
    if anchors.pulls:
        anchors.pull(adamw)
        pulling = time.monotonic() - began
    trained = sum(part.numel() for part in model.parameters() if part.requires_grad)
    total = sum(part.numel() for part in model.parameters())
    return DryRun(
        batch=None if found is None else found.told,
        init=None if start is None else str(start),
        teacher=lesson,
        prior=None if recipe.prior is None else str(anchors),
        sources={
            name: Share(rows, int((loaded.batch.source == number).sum()))
            for number, (name, rows) in enumerate(steps.order.sizes.items())
        },
        present={name: int(rows.sum()) for name, rows in loaded.batch.present.items()},
        parts={
            name: Part(*counts, model.origins.get(name, "fusion")) for name, counts in model.count().items()
        },
        groups=_groups(model, adamw),
        losses={"total": losses.total.item(), **{name: loss.item() for name, loss in losses.parts.items()}},
        memory_mb=(4 * total + 12 * trained + anchors.bytes) / 1e6,
        peak_mb=peak_mb(losses.total.device),
        seconds=seconds,
        prior_seconds=pulling,
        total_seconds=(seconds + pulling) * recipe.train.steps,
    )


def _step(model: Model, batch: Batch, graphs: Graphs) -> Losses:
    if batch.parts:
        return cached(model, batch, graphs)
    losses: Losses = model(batch)
    torch.autograd.backward(losses.total)
    return losses


def _taught(teacher: Teacher, steps: Steps, recipe: Recipe, registry: Registry) -> tuple[Loaded, Lesson]:
    """Return the first batch with what the teacher gives for it, and what all of its outputs will take."""
    with TemporaryDirectory() as place:
        folder, outputs = Folder(Path(place) / "cache", sys.maxsize), Outputs(teacher, CPU)
        filler = Filler(folder, Machine(), recipe.evaluate.batch, 0, _unheard, _unheard)
        began = time.monotonic()
        taught, _ = learn(filler, outputs, steps, recipe, registry, 1)
        seconds = time.monotonic() - began
        tried, rows = (
            sum(len(steps.order.rows(number, count)) for number in range(len(steps.reader.names)))
            for count in (1, recipe.train.steps)
        )
        return taught[0], Lesson(rows, seconds * rows / tried, outputs.row_bytes * rows / 1e6)


def _unheard(message: str) -> None: ...


def _groups(model: Model, adamw: torch.optim.AdamW) -> list[Group]:
    parts = {parameter: part_of(name) for name, parameter in model.named_parameters()}
    return [
        Group(
            group["lr"] * group["lr_scale"],
            group["weight_decay"],
            sum(parameter.numel() for parameter in group["params"]),
            list(dict.fromkeys(parts[parameter] for parameter in group["params"])),
        )
        for group in adamw.param_groups
    ]


def try_evaluation(recipe: Recipe, model: Model, registry: Registry) -> None:
    """Read the first rows of each source that is evaluated: training would fail on them only at its end."""
    asked = recipe.evaluate
    for section in ("sources", "calibrate", "foreign"):
        path = f"evaluate.{section}"
        sources = build.build_tables(getattr(asked, section), registry, path)
        targets = {asked.target: Target(torch.long), **model.targets()}
        sweep = Sweep(Reader(sources, Collator(model.processors, targets)), ROWS, limit=ROWS)
        for index in range(len(sweep)):
            loaded = sweep[index]
            if len(loaded.bad) == len(loaded.batch.row):
                first = loaded.bad[0]
                raise DataError(
                    f"{path}.{first.source}: none of the first {len(loaded.bad)} rows can be read, "
                    f"such as row {first.row}: {first.reason}"
                )
