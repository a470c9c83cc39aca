"""How fast two models answer, measured in turns so that what else the machine does meets both."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fusion.batch import Row
from fusion.build import build_tables
from fusion.data.collate import Collator
from fusion.errors import DataError
from fusion.inference import Predictor
from fusion.recipe.schema import Recipe
from fusion.registry import Registry

ROWS = 64
BUDGET = 6.0  # s of measuring one row at a time, and again of many at once
LEAST, MOST = 10, 200  # calls of each model


class Speed(NamedTuple):
    """How long one row takes, median and 95th percentile in ms, and how many a second go at 64 at once."""

    p50: float
    p95: float
    rows_per_second: float


def speeds(models: Sequence[Predictor], rows: Sequence[Row]) -> list[Speed]:
    """Return the speed of each model, from raw rows to answers, on the device and threads that it has."""
    fullest = max(rows, key=len)
    alone = _in_turns(models, [fullest])
    together = _in_turns(models, [rows[number % len(rows)] for number in range(ROWS)])
    return [
        Speed(
            float(np.percentile(one, 50) * 1000),
            float(np.percentile(one, 95) * 1000),
            ROWS / float(np.median(all_of_them)),
        )
        for one, all_of_them in zip(alone, together, strict=True)
    ]


def rows_to_try(recipe: Recipe, model: Predictor, registry: Registry) -> list[Row]:
    """Return up to 64 rows of the evaluation sources that can be read, with what the model reads of them."""
    collator = Collator(model.model.processors, {})
    found: list[Row] = []
    for source in build_tables(recipe.evaluate.sources, registry).values():
        for place in range(len(source)):
            row = source[place]
            kept = {name: row[name] for name in recipe.modalities if row.get(name) is not None}
            try:
                if collator.decode(kept).decoded:
                    found.append(kept)
            except DataError:
                continue
            if len(found) == ROWS:
                return found
    if not found:
        raise DataError("evaluate.sources has no row that can be read")
    return found


def _answer(model: Predictor, rows: Sequence[Row]) -> None:
    if model.model.tasks:
        model.predict(rows)
    else:
        model.encode(rows)


def _in_turns(models: Sequence[Predictor], rows: Sequence[Row]) -> list[list[float]]:
    """Return how many seconds each model takes, again and again, first and last in turns; two warm up."""
    seconds: list[list[float]] = [[] for _ in models]
    end = time.perf_counter() + BUDGET
    order = list(range(len(models)))
    for turn in range(MOST + 2):
        for number in order if turn % 2 else reversed(order):
            began = time.perf_counter()
            _answer(models[number], rows)
            seconds[number].append(time.perf_counter() - began)
        if turn >= LEAST + 1 and time.perf_counter() > end:
            break
    return [one[2:] for one in seconds]
