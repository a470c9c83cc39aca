"""Measure a model in every trial of a stress, in one sweep: what no trial damages is encoded once."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, send_to_device

from fusion.batch import Source
from fusion.build import build_tables
from fusion.data.collate import BadRow, Collator
from fusion.data.loader import Reader, Sweep, load
from fusion.errors import DataError
from fusion.evaluation.crew import Crew
from fusion.evaluation.evaluate import class_vectors, expect_target, measure
from fusion.evaluation.kept import Keeper
from fusion.evaluation.retrieval import search
from fusion.evaluation.rounds import expect_some, targets
from fusion.evaluation.sweep import collect
from fusion.evaluation.tally import Tally
from fusion.model import Model
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.report.stress import Point, Record
from fusion.stress.counts import Counted, Versed, closed
from fusion.stress.rows import Damaged, Sweeps, pick
from fusion.stress.spoil import encoded, spoilt
from fusion.stress.stress import Stress


@torch.no_grad()
def endure(
    stress: Stress,
    name: str,
    model: Model,
    recipe: Recipe,
    registry: Registry,
    accelerator: Accelerator,
    rows: int | None = None,
) -> Record:
    """Measure the evaluation sources of the recipe without damage, and in every trial of the stress.

    All ranks call it, and each reads its part of the batches, as in `evaluate`; what is found is the same on
    any number of them, and whole on the first. A batch is encoded once, and for each trial what that damages.
    In memory stay the vectors of the rows, and for each trial those of what it damages. `rows` is how many of
    each source are drawn. Raises DataError as `evaluate` does, and where damage leaves what cannot be read.
    """
    stress.meet(model)
    built = build_tables(recipe.evaluate.sources, registry)
    if not built:
        raise DataError("the recipe has no evaluate.sources; a stress needs rows to measure on")
    clean, *others = _sweeps(stress, model, recipe, built, accelerator, rows)
    order = Sweeps([clean, *(sweep for sweep in others if sweep is not None)])
    loaded = load(order, range(len(order)), recipe.train.workers)
    model.eval()
    crew, target = Crew(accelerator), recipe.evaluate.target
    damaged = dict.fromkeys(trial.modalities for trial in stress.trials)
    subsets = closed(recipe, damaged)
    keeper = Keeper(model.modalities, target, clean.rows)
    tally = Tally(model, target, 0, unlabelled=False)
    versed = {"+".join(some): Versed(model, target, some, subsets) for some in damaged}
    counts = [
        Counted(trial, stress.wanted(trial), model, recipe, subsets, clean.rows) for trial in stress.trials
    ]
    bad: list[BadRow] = []
    for _ in range(clean.rounds):
        one, found = next(loaded, None), None
        if one is not None:
            bad += one.bad
            batch = send_to_device(one.batch, accelerator.device, non_blocking=True)
            given = encoded(model, batch)
            found = collect(model, given, subsets)
        for part in filter(None, crew.gather(found)):  # in the order of the batches
            keeper.add(part)
            tally.add(part)
            for versus in versed.values():
                versus.add(part)
        for counted, sweep in zip(counts, others, strict=True):
            found = None
            if one is not None:
                other = None if sweep is None else next(loaded)
                harmed = spoilt(stress, counted.trial, model, batch, given, one, other)
                found = counted.touched(collect(model, harmed, counted.subsets))
            for part in filter(None, crew.gather(found)):
                counted.add(part)
    if accelerator.num_processes > 1:
        bad = gather_object(bad)
    expect_some(dict(zip(built, clean.sizes, strict=True)), bad)
    said = stress.tell(crew)
    record = Record(
        stress=name,
        axis=stress.axis,
        mean_error=stress.mean_error,
        seed=recipe.train.seed,
        bad_rows=len(bad),
        told=said,
    )
    if not accelerator.is_main_process:
        crew.follow(search)
        return record
    with crew.leading():
        kept = keeper.kept()
        expect_target(tally, recipe)
        classes = class_vectors(model, recipe)
        record.rows = int(kept.first.sum())
        record.clean = _numbers(measure(recipe, kept, tally, classes, {}, crew))
        record.versus = {some: counter.versus() for some, counter in versed.items()}
        for counted in counts:
            trial = counted.trial
            changed = kept._replace(vectors=kept.vectors | counted.vectors)
            asked = _about(recipe, trial.modalities if counted.wanted.vectors else ())
            told = measure(asked, changed, counted.tally, classes, {}, crew)
            record.points.append(
                Point(
                    **trial._asdict(),
                    metrics=_numbers(told, trial.modalities),
                    versus=counted.versed.versus(record.versus[trial.damaged]),
                )
            )
    return stress.settle(record).with_errors()


def _sweeps(
    stress: Stress,
    model: Model,
    recipe: Recipe,
    built: Mapping[str, Source],
    accelerator: Accelerator,
    rows: int | None,
) -> list[Any]:
    """Return the sweep over the rows as they are, and for each trial the one over what is damaged of them."""
    seed = recipe.train.seed
    drawn = [
        pick(len(source), number, rows, recipe.evaluate.limit, seed)
        for number, source in enumerate(built.values())
    ]

    def sweep(sources: Mapping[str, Source], collator: Collator) -> Sweep:
        rank, ranks = accelerator.process_index, accelerator.num_processes
        return Sweep(Reader(sources, collator), recipe.evaluate.batch, rank, ranks, chosen=drawn)

    sweeps: list[Sweep | None] = [sweep(built, Collator(model.processors, targets(model, recipe)))]
    for trial in stress.trials:
        damage = stress.damage(trial)
        if damage is None:
            sweeps.append(None)
            continue
        sources = {
            name: Damaged(source, number, trial.modalities, damage, trial.kind, seed)
            for number, (name, source) in enumerate(built.items())
        }
        sweeps.append(sweep(sources, Collator({one: model.processors[one] for one in trial.modalities}, {})))
    return sweeps


def _about(recipe: Recipe, damaged: tuple[str, ...]) -> Recipe:
    """Return the recipe with what is measured of the vectors of what is damaged, if there are any."""
    pairs = [pair for pair in recipe.retrieval_pairs() if set(pair) & set(damaged)]
    asked = {"retrieval": pairs, "zero_shot": recipe.evaluate.zero_shot if damaged else None}
    return recipe.model_copy(update={"evaluate": recipe.evaluate.model_copy(update=asked)})


def _numbers(metrics: Mapping[str, Any], damaged: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what was measured, of these modalities or of all: what is no number is left out."""
    return {
        key: value
        for key, value in metrics.items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and (not damaged or set(re.split(r"->|\+", key.split("/")[1])) & set(damaged))
    }
