"""What a candidate, and the run that it starts from, make of the first labelled rows."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from accelerate.utils import send_to_device
from torch import Tensor

from fusion.batch import Batch, Target
from fusion.build import build_tables
from fusion.data.collate import BadRow, Collator
from fusion.data.draw import Draw
from fusion.data.loader import Reader, Steps, load
from fusion.data.order import ENDLESS, Order
from fusion.encoder import Processor
from fusion.errors import DataError
from fusion.estimator import Floats, Ints, Labelled
from fusion.hub.fetch import located
from fusion.model import Model
from fusion.objective import Task
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.run import Run
from fusion.transfer.initial import initial_model

Give = Callable[[Batch, str], Tensor]  # what is told of the rows that have a modality, (n, k)


READ = 128  # rows at once where the recipe leaves the batch to the training


class Seen(NamedTuple):
    """What is told of n labelled rows that have a modality."""

    place: Ints  # (n,) in the order of the training
    labels: Ints  # (n,)
    told: Floats  # (n, k)


class Look(NamedTuple):
    """Labelled rows by modality, those that cannot be read, and encoders of which `init` gave nothing."""

    rows: dict[str, Labelled]
    bad: list[BadRow]
    new: list[str]


@torch.no_grad()
def labelled(
    recipe: Recipe, registry: Registry, device: torch.device, most: int, only: str | None = None
) -> Look:
    """Return at most so many labelled rows.

    They are the first of the training, not augmented and each once; the label is `evaluate.target`. A
    modality has the rows in which it is present, and is left out where it has none. Raises DataError when no
    row has a label, and when all of a modality have the same.
    """
    torch.manual_seed(recipe.train.seed)
    model, start = initial_model(recipe, registry)
    model.to(device).eval()
    names = [only] if only else list(model.modalities)
    untouched = [] if start is None else start.untouched
    new = [part for part in untouched if part in (f"encoders.{name}" for name in names)]
    steps = _steps(recipe, registry, {name: model.processors[name] for name in names})
    vectors, bad, read = _read(steps, names, device, partial(_pooled, model), recipe, most)
    if not vectors:
        some = " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
        torn = f"; row {bad[0].row} of {bad[0].source} cannot be read: {bad[0].reason}" if bad else ""
        raise DataError(
            f"no row of sources has the target {recipe.evaluate.target!r} and {some}; name another in "
            f"evaluate.target{torn}"
        )
    answers: dict[str, Seen] = {}
    earlier = _classifier(recipe, registry)
    if earlier is not None:
        source, task = earlier[0].to(device).eval(), earlier[1]
        steps = _steps(recipe, registry, source.processors)
        shared = [name for name in names if name in source.modalities]
        give = partial(_probabilities, source, task)
        answers, _, _ = _read(steps, shared, device, give, recipe, ENDLESS, read)
    return Look({name: _joined(name, seen, answers.get(name)) for name, seen in vectors.items()}, bad, new)


def _steps(recipe: Recipe, registry: Registry, processors: dict[str, Processor]) -> Steps:
    """Return the rows of the training in its order, as they are, with nothing but the label."""
    sources = build_tables(recipe.sources, registry, "sources")
    lengths = {name: len(source) for name, source in sources.items()}
    weights = {name: pick.weight for name, pick in recipe.sources.items()}
    seed = recipe.train.seed
    collator = Collator(processors, {recipe.evaluate.target: Target(torch.long)})
    reader = Reader(sources, collator, Draw({}, 0.0, seed))
    batch = min(READ, *lengths.values()) if recipe.train.batch == "auto" else recipe.train.batch
    return Steps(reader, Order(lengths, weights, batch, seed), 0, 1)


def _read(
    steps: Steps,
    names: Sequence[str],
    device: torch.device,
    give: Give,
    recipe: Recipe,
    most: int,
    count: int | None = None,
) -> tuple[dict[str, Seen], list[BadRow], int]:
    """Read until there are `most` labelled rows, or for `count` steps; say how many steps were read.

    Without either, until every source was gone through once.
    """
    parts: dict[str, list[Seen]] = {name: [] for name in names}
    bad: list[BadRow] = []
    todo = range(_once(steps.order) if count is None else count)
    size, have, step = steps.order.batch, 0, -1
    for step, loaded in zip(todo, load(steps, todo, recipe.train.workers), strict=True):
        first = steps.order(step).epoch == 0
        labels = loaded.batch.targets[recipe.evaluate.target].numpy()
        chosen = first & (labels != -100)
        chosen &= have + chosen.cumsum() <= most
        have += int(chosen.sum())
        bad += loaded.bad
        batch = send_to_device(loaded.batch, device)
        for name in names:
            present = loaded.batch.present[name].numpy()
            kept = chosen & present
            if kept.any():
                told = give(batch, name)[torch.from_numpy(kept[present]).to(device)]
                place = step * size + kept.nonzero()[0]
                parts[name].append(Seen(place, labels[kept], told.double().cpu().numpy()))
        if have == most:
            break
    seen = {name: Seen(*map(np.concatenate, zip(*some, strict=True))) for name, some in parts.items() if some}
    return seen, list(dict.fromkeys(bad)), step + 1


def _once(order: Order) -> int:
    """Return the steps in which every source is gone through."""
    return max(
        bisect_left(range(2**40), length, key=partial(order.taken, number))
        for number, length in enumerate(order.lengths.tolist())
    )


def _pooled(model: Model, batch: Batch, name: str) -> Tensor:
    pooled = model.encode(name, batch.inputs[name]).pooled  # (n, d)
    if not pooled.isfinite().all():
        raise DataError(f"encoders.{name} ({model.origins[f'encoders.{name}']}) gave NaN or infinity")
    return pooled


def _probabilities(model: Model, task: Task, batch: Batch, name: str) -> Tensor:
    """Return what the classifier of the run says of the rows, of this modality alone, (n, classes)."""
    shown = {other: present & (other == name) for other, present in batch.present.items()}
    return task.predict(model.fuse(model.embed(batch), shown)).score[batch.present[name]]


def _classifier(recipe: Recipe, registry: Registry) -> tuple[Model, Task] | None:
    """Return the run that a recipe starts from and its first task that answers with a class."""
    path = None if recipe.init is None else located(recipe.init)
    if path is None or not path.is_dir():
        return None
    run = Run(path)
    model, _ = initial_model(run.recipe.model_copy(update={"init": recipe.init}), registry)
    for task in model.tasks.values():
        target = task.targets[task.target]
        if not target.dtype.is_floating_point and target.shape == ():
            return model, task
    return None


def _joined(name: str, seen: Seen, answers: Seen | None) -> Labelled:
    """Return the rows of a modality; where the run answers, those that it could read, too."""
    labels, vectors, source = seen.labels, seen.told, None
    if answers is not None:
        _, mine, its = np.intersect1d(seen.place, answers.place, assume_unique=True, return_indices=True)
        labels, vectors, source = labels[mine], vectors[mine], answers.told[its]
    classes, compact = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        given = ", ".join(map(str, classes.tolist())) or "none"
        raise DataError(
            f"the {len(labels)} labelled rows with {name} are all of one class ({given}); give rows of two "
            "classes at least"
        )
    return Labelled(vectors, compact.astype(np.int64), source)
