"""Measure a model on the evaluation sources of its recipe."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from accelerate import Accelerator
from torch import Tensor

from fusion.build import build_tables
from fusion.data.collate import BadRow
from fusion.errors import DataError, TrainingError
from fusion.evaluation import showcase
from fusion.evaluation.crew import Crew
from fusion.evaluation.foreign import Strangers
from fusion.evaluation.gap import gap
from fusion.evaluation.held import learn
from fusion.evaluation.kept import Keeper, Kept
from fusion.evaluation.retrieval import retrieval, search
from fusion.evaluation.rounds import Rounds, expect_some
from fusion.evaluation.sweep import collect
from fusion.evaluation.tally import Tally, tallies
from fusion.evaluation.zero_shot import accuracy, prototypes
from fusion.model import Model
from fusion.recipe.schema import Evaluate, Recipe
from fusion.registry import Registry


class Evaluation(NamedTuple):
    """Flat metrics with stable keys, what the report draws beyond them, and what could not be read."""

    metrics: dict[str, Any]
    details: dict[str, Any]
    bad: list[BadRow]
    temperatures: dict[str, float]  # by "subset/task": what `evaluate.calibrate` gave, or was given


def evaluate(
    model: Model,
    recipe: Recipe,
    registry: Registry,
    accelerator: Accelerator,
    trained: Mapping[str, Any],
    temperatures: Mapping[str, float] | None = None,
) -> Evaluation:
    """Measure retrieval, zero-shot classification and every subset, over all rows and per source.

    All ranks call it, each reads its part of the batches. The first one counts what tasks answer, batch by
    batch in their order, and keeps the vectors; all share the search. So what is measured is the same on any
    number of ranks. `trained` are the metrics of the training, which say what modalities were seen together:
    retrieval between others is marked emergent. With `temperatures`, by "subset/task", none
    is fitted. Raises DataError for a source that is empty or of which no row can be read.
    """
    if not recipe.evaluate.sources:
        return Evaluation({}, {}, [], {})
    sources = build_tables(recipe.evaluate.sources, registry)
    model.eval()
    crew = Crew(accelerator)
    held = learn(model, recipe, registry, accelerator, crew, temperatures)
    rounds = Rounds(model, recipe, sources, accelerator, recipe.evaluate.limit)
    keeper = Keeper(model.modalities, recipe.evaluate.target, rounds.sweep.rows)
    every, *by_source = tallies(
        model, recipe.evaluate.target, recipe.classes, len(sources), held.temperatures
    )
    strangers = Strangers(recipe, held.known)
    foreign = bool(recipe.evaluate.foreign)
    look = partial(collect, model, subsets=recipe.subsets(), foreign=foreign)
    for found in rounds.rows(crew, partial(look, explained=True)):
        keeper.add(found)
        strangers.add("", found)
        number = int(found.place["source"][0])
        for tally in (every, *by_source[number : number + 1]):
            tally.add(found)
    bad = rounds.bad
    strange = [row._replace(source=f"calibrate/{row.source}") for row in held.bad]
    for name, source in build_tables(recipe.evaluate.foreign, registry, "evaluate.foreign").items():
        others = Rounds(model, recipe, {name: source}, accelerator, recipe.evaluate.limit)
        for found in others.rows(crew, look):
            strangers.add(name, found)
        expect_some({name: others.sweep.rows}, others.bad, "evaluate.foreign")
        strange += [row._replace(source=f"foreign/{row.source}") for row in others.bad]
    expect_some(dict(zip(sources, rounds.sweep.sizes, strict=True)), bad)
    if not accelerator.is_main_process:
        crew.follow(search)
        return Evaluation({}, {}, bad, {})
    with crew.leading():
        kept = keeper.kept()
        metrics = {"evaluate/rows": int(kept.first.sum()), "evaluate/bad_rows": len(bad)}
        expect_modalities(kept, recipe)
        expect_target(every, recipe)
        expect_finite(kept)
        classes = class_vectors(model, recipe)
        metrics |= measure(recipe, kept, every, classes, trained, crew)
        for number, (name, tally) in enumerate(zip(sources, by_source, strict=False)):
            told = measure(recipe, kept.of_source(number), tally, classes, trained, crew)
            metrics |= {f"source/{name}/{key}": value for key, value in told.items()}
    metrics |= strangers.metrics(len(model.tasks) > 1)
    details = showcase.details(
        recipe,
        kept.whole,
        every.confusion,
        every.contributed.by_answer(),
        list(sources.values()),
        metrics,
        model.processors,
    )
    details["calibration"] = {
        answered: {kind.rstrip("/"): trust.details() for kind, trust in kinds.items()}
        for answered, kinds in every.trust.items()
    }
    details["foreign"] = strangers.details()
    named = [row._replace(source=f"evaluate/{row.source}") for row in (*bad, *strange)]
    return Evaluation(metrics, details, named, held.temperatures)


def measure(
    recipe: Recipe,
    kept: Kept,
    tally: Tally,
    classes: Tensor | None,
    trained: Mapping[str, Any],
    crew: Crew,
) -> dict[str, Any]:
    """Return the metrics of these rows; `classes` are the vectors of the classes, (classes, w)."""
    metrics: dict[str, Any] = {}
    items = {name: kept.items(name) for name in recipe.modalities if len(kept.at[name])}
    whole = kept.whole
    for query, gallery in recipe.retrieval_pairs():
        if query in items and gallery in items:
            found: dict[str, Any] = retrieval(items[query], items[gallery], crew)
            if found:
                found |= {"rows": int(whole.having((query, gallery)).sum())}
                found["emergent"] = _emergent(trained, query, gallery)
                found["gap"] = gap(items[query], items[gallery])
            metrics |= {f"retrieval/{query}->{gallery}/{key}": value for key, value in found.items()}
    if classes is not None and recipe.evaluate.zero_shot is not None:
        for name in recipe.modalities:
            labels = whole.labels[whole.at[name]]
            known = labels != -100
            if name != recipe.evaluate.zero_shot.modality and known.any():
                right = accuracy(whole.vectors[name][known], labels[known], classes)
                metrics[f"zero_shot/{name}/accuracy"] = right
                metrics[f"zero_shot/{name}/rows"] = int(known.sum())
    return metrics | tally.metrics()


def class_vectors(model: Model, recipe: Recipe) -> Tensor | None:
    """Return the vectors of the classes for zero-shot classification, (classes, w), if that is asked for."""
    zero_shot = recipe.evaluate.zero_shot
    if zero_shot is None:
        return None
    return prototypes(model, zero_shot.modality, recipe.classes, zero_shot.templates).cpu()


def expect_modalities(kept: Kept, recipe: Recipe) -> None:
    """Raise DataError for a source of which no row has a modality of the recipe."""
    for number, name in enumerate(recipe.evaluate.sources):
        if not any(len(at) for at in kept.of_source(number).at.values()):
            raise DataError(
                f"evaluate.sources.{name}: no row has any of {', '.join(recipe.modalities)}; `fusion data` "
                "tells what is in them (a trained run then goes on with --resume)"
            )


def expect_target(tally: Tally, recipe: Recipe) -> None:
    """A target that is asked for by name, or by zero-shot classification, has to be there."""
    evaluation = recipe.evaluate
    asked = evaluation.zero_shot is not None or evaluation.target != Evaluate().target
    if asked and not tally.labelled:
        raise DataError(
            f"no row of evaluate.sources has the target {evaluation.target!r}; name another in "
            "evaluate.target (a trained run then goes on with --resume)"
        )


def expect_finite(kept: Kept) -> None:
    """Raise TrainingError where a model gives no numbers that could be compared."""
    for name, vectors in kept.vectors.items():
        wrong = int((~vectors.isfinite().all(dim=1)).sum())
        if wrong:
            raise TrainingError(
                f"{wrong} of {len(vectors)} vectors of {name} are NaN or infinite: the training has diverged "
                "(lower train.lr), or these rows hold such numbers"
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
