"""Look at the rows of a recipe's sources: what they hold, what cannot be read, how training varies them."""

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch

from fusion import build
from fusion.batch import Row, Source, Stream, Target
from fusion.data.collate import BadRow, Collator, Sample
from fusion.data.draw import Draw, Turn, choices
from fusion.errors import DataError
from fusion.fitted import fitted
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.report.media import Described
from fusion.report.media import shown as described

SHOWN = 6  # rows of a source to look at
EPOCHS = 3  # in which each is varied


class Shown(NamedTuple):
    """A row to look at: every choice of each modality as it is, and the sample that an epoch makes of it."""

    row: int
    label: int | None
    given: dict[str, list[Described]]
    varied: dict[str, list[Described]]


class Preview(NamedTuple):
    """What the rows of a source hold, as far as they were looked at."""

    source: str
    rows: int | None  # of the whole source, None for a stream
    looked_at: int
    present: dict[str, int]  # rows that have a modality
    targets: dict[str, int]  # rows that have a target
    labels: dict[int, int]  # rows by class
    unread: list[str]  # keys of rows that are neither a modality nor a target of the recipe
    bad: list[BadRow]
    shown: list[Shown]


def preview(recipe: Recipe, registry: Registry, sample: int) -> list[Preview]:
    """Read up to `sample` rows of every source, spread over it; of a stream the first ones.

    Raises DataError for a source that cannot be built, and what building the encoders raises.
    """
    recipe = fitted(recipe, registry)
    model = build.build_model(recipe, registry)
    label = recipe.evaluate.target
    collator = Collator(model.processors, {label: Target(torch.long), **model.targets()})
    varied = Draw(build.build_augmentations(recipe, registry), 0.0, recipe.train.seed)
    plain = Draw({}, 0.0, recipe.train.seed)
    sections: list[tuple[str, Mapping[str, Source | Stream], Draw]] = [
        ("sources", build.build_sources(recipe.sources, registry), varied),
        ("evaluate.sources", build.build_tables(recipe.evaluate.sources, registry), plain),
    ]
    return [
        _look(f"{path}.{name}", number, source, sample, collator, draw, label)
        for path, sources, draw in sections
        for number, (name, source) in enumerate(sources.items())
    ]


def _look(
    path: str, number: int, source: Source | Stream, sample: int, collator: Collator, draw: Draw, label: str
) -> Preview:
    places, read, other = _reading(source, sample, draw.seed)
    found: list[Sample] = []
    bad: list[BadRow] = []
    keys: dict[str, None] = {}
    shown: list[Shown] = []
    for place in places:
        try:
            row = read(place)
            keys |= dict.fromkeys(key for key in row if row[key] is not None)
            one = collator.decode(row)
            if len(shown) < SHOWN:
                turns = [Turn(draw.seed, epoch, number, place) for epoch in range(EPOCHS)]
                epochs = [draw(row, tuple(collator.processors), turn, other).varied for turn in turns]
                shown.append(_show(place, row, one, epochs, draw, collator, label))
        except (DataError, OSError) as error:
            bad.append(BadRow(path, place, str(error)))
        else:
            found.append(one)
    held = [_class(one, label) for one in found]
    return Preview(
        path,
        None if isinstance(source, Stream) else len(source),
        len(places),
        {name: sum(name in one.decoded for one in found) for name in collator.processors},
        {name: sum(name in one.targets for one in found) for name in collator.targets},
        dict(sorted(Counter(label for label in held if label is not None).items())),
        [key for key in keys if key not in collator.processors and key not in collator.targets],
        bad,
        shown,
    )


def _reading(
    source: Source | Stream, sample: int, seed: int
) -> tuple[range | list[int], Callable[[int], Row], Callable[[int], Row]]:
    """Return which rows are looked at, how one is read, and how one is read to be mixed with another."""
    if isinstance(source, Stream):
        first = list(islice(source.rows(0, 1, seed), sample))
        return range(len(first)), first.__getitem__, lambda n: first[n % len(first)]
    places = sorted({int(place) for place in np.linspace(0, len(source) - 1, min(len(source), sample))})
    return places, source.__getitem__, lambda n: source[n % len(source)]


def _show(
    place: int,
    row: Row,
    one: Sample,
    epochs: list[dict[str, Any]],
    draw: Draw,
    collator: Collator,
    label: str,
) -> Shown:
    given, processors = choices(row, tuple(one.decoded)), collator.processors
    return Shown(
        place,
        _class(one, label),
        {name: [described(processors[name], raw) for raw in some] for name, some in given.items()},
        {
            name: [described(processors[name], varied[name]) for varied in epochs]
            for name in given
            if name in draw.augmentations
        },
    )


def _class(one: Sample, label: str) -> int | None:
    target = one.targets.get(label)
    whole = target is not None and target.ndim == 0 and not target.is_floating_point()
    return int(target) if whole and target is not None else None
