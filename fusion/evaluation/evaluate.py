"""Measure a model on the evaluation sources of its recipe."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, send_to_device
from torch import Tensor

from fusion.batch import Source, Target, missing
from fusion.build import build_tables
from fusion.data.collate import BadRow, Collator
from fusion.data.loader import Reader, Sweep, load
from fusion.errors import DataError
from fusion.evaluation import showcase
from fusion.evaluation.gap import gap
from fusion.evaluation.retrieval import retrieval
from fusion.evaluation.sweep import Rows, collect, join
from fusion.evaluation.zero_shot import accuracy, prototypes
from fusion.model import Model
from fusion.recipe import Evaluate, Recipe
from fusion.registry import Registry


class Evaluation(NamedTuple):
    """Flat metrics with stable keys, what the report draws beyond them, and what could not be read."""

    metrics: dict[str, Any]
    details: dict[str, Any]
    bad: list[BadRow]


def evaluate(
    model: Model,
    recipe: Recipe,
    registry: Registry,
    accelerator: Accelerator,
    trained: Mapping[str, Any],
) -> Evaluation:
    """Measure retrieval, zero-shot classification and every subset, over all rows and per source.

    All ranks call it, each reads its part of the rows. `trained` are the metrics of the training, which
    say what modalities were seen together: retrieval between others is marked emergent. Raises DataError
    for a source that is empty or of which no row can be read.
    """
    if not recipe.evaluate.sources:
        return Evaluation({}, {}, [])
    sources = build_tables(recipe.evaluate.sources, registry)
    read = model.targets()
    answered = {task.target: read[task.target] for task in model.tasks.values()}
    targets = {recipe.evaluate.target: read.get(recipe.evaluate.target, Target(torch.long)), **answered}
    sweep = Sweep(
        Reader(sources, Collator(model.processors, targets)),
        recipe.evaluate.batch,
        accelerator.process_index,
        accelerator.num_processes,
        recipe.evaluate.limit,
    )
    model.eval()
    parts: list[Rows] = []
    bad: list[BadRow] = []
    for loaded in load(sweep, range(len(sweep)), recipe.train.workers):
        batch = send_to_device(loaded.batch, accelerator.device, non_blocking=True)
        parts.append(collect(model, batch, recipe.subsets()))
        bad += loaded.bad
    if accelerator.num_processes > 1:
        bad = gather_object(bad)
    _expect_some(sources, bad, recipe)
    rows = join(parts, accelerator.num_processes)
    _expect_target(rows, recipe)
    if not accelerator.is_main_process:  # the other ranks' part is done
        return Evaluation({}, {}, bad)
    classes = _class_vectors(model, recipe)
    whole = rows.whole
    metrics = {"evaluate/rows": len(whole.place["row"]), "evaluate/bad_rows": len(bad)}
    metrics |= measure(model, recipe, rows, classes, trained)
    for number, name in enumerate(sources if len(sources) > 1 else ()):
        part = rows.where(rows.place["source"] == number)
        found = measure(model, recipe, part, classes, trained)
        metrics |= {f"source/{name}/{key}": value for key, value in found.items()}
    details = showcase.details(model, recipe, whole, list(sources.values()), metrics)
    return Evaluation(metrics, details, [row._replace(source=f"evaluate/{row.source}") for row in bad])


def measure(
    model: Model, recipe: Recipe, rows: Rows, classes: Tensor | None, trained: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the metrics of these rows; `classes` are the vectors of the classes, (classes, w)."""
    device = next(model.parameters()).device
    metrics: dict[str, Any] = {}
    items = {
        name: rows.of(name, recipe.evaluate.target).to(device)
        for name in recipe.modalities
        if rows.present[name].any()
    }
    rows = rows.whole
    for query, gallery in recipe.retrieval_pairs():
        if query in items and gallery in items:
            found: dict[str, Any] = retrieval(items[query], items[gallery])
            if found:
                found |= {"rows": int(rows.having((query, gallery)).sum())}
                found["emergent"] = _emergent(trained, query, gallery)
                found["gap"] = gap(items[query], items[gallery])
            metrics |= {f"retrieval/{query}->{gallery}/{key}": value for key, value in found.items()}
    labels = rows.labels(recipe.evaluate.target)
    if classes is not None and recipe.evaluate.zero_shot is not None:
        for name in recipe.modalities:
            known = rows.present[name] & (labels != -100)
            if name != recipe.evaluate.zero_shot.modality and known.any():
                metrics[f"zero_shot/{name}/accuracy"] = accuracy(
                    rows.vectors[name][known], labels[known], classes
                )
                metrics[f"zero_shot/{name}/rows"] = int(known.sum())
    return metrics | _tasks(model, rows)


def _tasks(model: Model, rows: Rows) -> dict[str, Any]:
    """Every task for every subset, over the rows that have all of the subset and the target."""
    metrics: dict[str, Any] = {}
    for answered, score in rows.scores.items():
        given, _, name = answered.partition("/")
        subset = given.split("+")
        task = model.tasks[name]
        target = rows.targets[task.target]
        having = rows.having(subset)
        chosen = having & ~missing(target).reshape(len(target), -1).all(dim=1)
        key = f"subsets/{given}" + (f"/{name}" if len(model.tasks) > 1 else "")
        if having.any():
            metrics |= {f"{key}/{words}": value for words, value in task.unlabelled(score[having]).items()}
        if not chosen.any():
            continue
        answers = {"": score}
        if len(subset) > 1 and all(f"{single}/{name}" in rows.scores for single in subset):
            # the baseline that needs no fuser: the single modalities' answers, averaged
            answers["averaged/"] = task.average([rows.scores[f"{single}/{name}"] for single in subset])
        for kind, answer in answers.items():
            collection = task.metrics()
            for metric in collection.values():
                metric.distributed_available_fn = _alone  # all rows are here, and no other rank computes
            collection.update(answer[chosen], target[chosen])
            metrics |= {
                f"{key}/{kind}{metric}": value.item() for metric, value in collection.compute().items()
            }
        metrics[f"{key}/rows"] = int(chosen.sum())
    return metrics


def _alone() -> bool:
    return False


def _class_vectors(model: Model, recipe: Recipe) -> Tensor | None:
    zero_shot = recipe.evaluate.zero_shot
    if zero_shot is None:
        return None
    return prototypes(model, zero_shot.modality, recipe.classes, zero_shot.templates).cpu()


def _expect_some(sources: Mapping[str, Source], bad: Sequence[BadRow], recipe: Recipe) -> None:
    for name, source in sources.items():
        size = min(len(source), recipe.evaluate.limit or len(source))
        unread = [row for row in bad if row.source == name]
        if size == 0:
            raise DataError(f"evaluate.sources.{name} is empty")
        if len(unread) == size:
            first = unread[0]
            raise DataError(
                f"evaluate.sources.{name}: no row can be read, such as row {first.row}: {first.reason}"
            )


def _expect_target(rows: Rows, recipe: Recipe) -> None:
    """A target that is asked for by name, or by zero-shot classification, has to be there."""
    evaluation = recipe.evaluate
    asked = evaluation.zero_shot is not None or evaluation.target != Evaluate().target
    target = rows.targets[evaluation.target]
    if asked and bool(missing(target).all()):
        raise DataError(
            f"no row of evaluate.sources has the target {evaluation.target!r}; name another in "
            "evaluate.target (a trained run then goes on with --resume)"
        )


def _emergent(trained: Mapping[str, Any], first: str, second: str) -> bool | None:
    """Whether no row of the training, nor of those it starts from, had both.

    None where that is unknown, and where no row had one of them: it was not trained at all.
    """
    kinds = [
        key.split("/", 2)[2].split("+") for key in trained if key.startswith(("train/rows/", "init/rows/"))
    ]
    if any(first in kind and second in kind for kind in kinds):
        return False
    met = {name for kind in kinds for name in kind}
    return None if trained.get("init/rows_unknown") or not {first, second} <= met else True
