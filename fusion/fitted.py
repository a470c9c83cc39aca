"""Options of encoders that a recipe leaves open, and that follow from the rows of its training."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any

import numpy as np

from fusion.batch import Choices, Row, Source, Stream
from fusion.build import build_sources
from fusion.component import Component
from fusion.encoder import Encoder
from fusion.errors import DataError, FusionError, PluginError
from fusion.picks import complete
from fusion.recipe.schema import Recipe
from fusion.registry import Registry

ROWS = 10_000
"""Rows of each source that are looked at, evenly spaced; of a stream the first."""


def fitted(recipe: Recipe, registry: Registry) -> Recipe:
    """Return the recipe with what its encoders fit to raw samples of `sources`, and of nothing else.

    Each process finds the same. Raises DataError for a source that is not there, PluginError for an encoder
    that cannot be fitted.
    """
    sources = cache(lambda: tuple(build_sources(recipe.sources, registry).values()))
    changes = {}
    for name, pick in recipe.encoders.items():
        offer = registry.find("encoder", pick.name)
        samples = (one for source in sources() for one in _samples(source, name))
        try:
            found = fit_options(offer.component, samples, pick.options)
        except DataError as error:
            raise DataError(f"encoders.{name}: {error}") from error
        except FusionError:
            raise
        except Exception as error:
            raise PluginError(f"encoders.{name}: {pick.name} of {offer.origin} raised {error!r}") from error
        if found:
            changes[name] = pick.model_copy(update=found)
    if not changes:
        return recipe
    return complete(recipe.model_copy(update={"encoders": {**recipe.encoders, **changes}}), registry)


def fit_options(component: Component, samples: Iterable[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of an encoder's options that are None and that it fits to raw samples."""
    build = component.resolve()
    if not isinstance(build, type) or not issubclass(build, Encoder):
        return {}
    found = build.fit(samples, options)
    return {key: value for key, value in found.items() if options.get(key) is None}


def _samples(source: Source | Stream, modality: str) -> Iterator[Any]:
    for row in _rows(source):
        sample = row.get(modality)
        if sample is not None:
            yield from sample if isinstance(sample, Choices) else [sample]


def _rows(source: Source | Stream) -> Iterator[Row]:
    if isinstance(source, Stream):
        yield from islice(source.rows(0, 1, 0), ROWS)
        return
    size = len(source)
    for place in np.unique(np.linspace(0, size - 1, min(size, ROWS)).astype(np.int64)).tolist():
        try:
            yield source[place]
        except (DataError, OSError):  # the training counts it
            continue
