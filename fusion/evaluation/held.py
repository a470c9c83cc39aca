"""What is learned of rows that are held back, before others are measured: temperatures, and what is known."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor

from fusion.batch import missing
from fusion.build import build_tables
from fusion.data.collate import BadRow
from fusion.evaluation.crew import Crew
from fusion.evaluation.rounds import Rounds, expect_some
from fusion.evaluation.spread import Spread
from fusion.evaluation.sweep import Rows, collect
from fusion.evaluation.temperature import fit
from fusion.model import Model
from fusion.recipe.schema import Recipe
from fusion.registry import Registry


class Held(NamedTuple):
    """Temperatures by "subset/task", where one could be fitted; fused vectors by "subset", (k, w)."""

    temperatures: dict[str, float]
    known: dict[str, Tensor]
    bad: list[BadRow]


def learn(
    model: Model,
    recipe: Recipe,
    registry: Registry,
    accelerator: Accelerator,
    crew: Crew,
    given: Mapping[str, float] | None = None,
) -> Held:
    """Read the sources of `evaluate.calibrate` and return what they tell, on all ranks.

    All their rows count, whatever `evaluate.limit` is; of more than there is room for, a part that is evenly
    spread is looked at. Temperatures that are `given` are not fitted again, and where no foreign row is to be
    told, nothing is read. Raises DataError for a source that is empty or of which no row can be read.
    """
    chosen = recipe.evaluate.calibrate
    if not chosen or (given is not None and not recipe.evaluate.foreign):
        return Held(dict(given or {}), {}, [])
    sources = build_tables(chosen, registry, "evaluate.calibrate")
    rounds = Rounds(model, recipe, sources, accelerator, None)
    answers: dict[str, Spread] = {}
    known: dict[str, Spread] = {}
    look = partial(collect, model, subsets=recipe.subsets(), foreign=bool(recipe.evaluate.foreign))
    for rows in rounds.rows(crew, look):
        whole = rows.whole
        for answered, labelled in _labelled(model, whole) if given is None else ():
            answers.setdefault(answered, Spread()).add(labelled)
        for subset, vectors in whole.fused.items():
            having = whole.having(subset.split("+"))
            if having.any():
                known.setdefault(subset, Spread()).add(vectors[having])
    expect_some(dict(zip(sources, rounds.sweep.sizes, strict=True)), rounds.bad, "evaluate.calibrate")
    temperatures = dict(given or {})
    for answered, spread in answers.items():
        rows_of = spread.rows
        if (temperature := fit(rows_of[:, :-1], rows_of[:, -1].long())) is not None:
            temperatures[answered] = temperature
    told = [Held(temperatures, {subset: spread.rows for subset, spread in known.items()}, rounds.bad)]
    if accelerator.num_processes > 1:
        broadcast_object_list(told)
    return told[0]


def _labelled(model: Model, rows: Rows) -> Iterator[tuple[str, Tensor]]:
    """Yield for each subset and task that tells probabilities these and the true class, (r, classes + 1)."""
    for answered, score in rows.scores.items():
        subset, _, name = answered.partition("/")
        task = model.tasks[name]
        if task.probabilities:
            target = rows.targets[task.target]
            chosen = rows.having(subset.split("+")) & ~missing(target)
            if chosen.any():
                yield answered, torch.cat([score[chosen], target[chosen].unsqueeze(1)], dim=1)
