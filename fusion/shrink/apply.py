"""Compress a model by the compressions that were chosen, one after the other."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from fusion import build, options
from fusion.batch import Batch
from fusion.compression import Compression
from fusion.errors import FusionError, PluginError, Problem, RecipeError, RunError
from fusion.model import Model
from fusion.recipe.picks import Pick
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.shrink.look import look
from fusion.shrink.rebuild import Applied
from fusion.transfer.original import adapted


class Chosen(NamedTuple):
    """A compression that is to be applied, with all of its options."""

    name: str
    options: dict[str, Any]
    compression: Compression


def choose(picks: Iterable[Pick], registry: Registry) -> list[Chosen]:
    """Build what is picked. Raises PluginError for an unknown name, RecipeError for wrong options."""
    chosen = []
    for pick in picks:
        try:
            compression = build.build_compression(pick.name, pick.options, registry)
        except RecipeError as error:
            raise RecipeError(error.problems, "compress") from error
        component = registry.find("compression", pick.name).component
        chosen.append(Chosen(pick.name, options.check(component, pick.options, "")[0], compression))
    return chosen


def begin(model: Model, recipe: Recipe, chosen: Sequence[Chosen], registry: Registry) -> None:
    """Prepare a model whose training has yet to begin.

    Raises RecipeError where its tunings add something, RunError where a compression finds nothing to do, or
    what another has taken, and PluginError where one is faulty.
    """
    if chosen and (added := adapted(recipe, registry)):
        problems = [
            Problem(
                f"encoders.{name}.tune",
                f"{recipe.encoders[name].tune.mode} adds weights, and a compression"
                " takes those that are there; choose another mode",
            )
            for name in added
        ]
        raise RecipeError(problems)
    batches = look(model, recipe, registry, (one.compression for one in chosen))
    for one in chosen:
        with _told(one):
            one.compression.observe(model, batches)
            prepare(model, [one], 0, recipe.train.steps)


@torch.no_grad()
def prepare(model: Model, chosen: Iterable[Chosen], step: int, steps: int) -> None:
    """Let each do what is due before a step (from 0) of a training of `steps`."""
    for one in chosen:
        one.compression.prepare(model, step, steps)


@torch.no_grad()
def apply(model: Model, chosen: Sequence[Chosen], batches: Sequence[Batch] = ()) -> list[Applied]:
    """Compress a model in place; it is then in eval mode, on the device where it was.

    `batches` are what `look` returns; after a training, when all was prepared, there need be none.

    Raises RunError where a compression finds nothing to do in it, PluginError where one is faulty.
    """
    if not chosen:
        return []
    device = next(model.parameters()).device
    model.to("cpu").eval()
    for one in reversed(chosen):
        with _told(one):
            one.compression.conclude(model)
    done = [Applied(one.name, one.options, _record(one, model, batches)) for one in chosen]
    model.to(device)
    return done


def _record(one: Chosen, model: Model, batches: Sequence[Batch]) -> dict[str, Any]:
    with _told(one):
        if batches:
            one.compression.observe(model, batches)
        record = one.compression.apply(model)
        written: dict[str, Any] = json.loads(json.dumps(record, allow_nan=False))
    return written


@contextmanager
def _told(one: Chosen) -> Iterator[None]:
    """Say which compression an error is of: RunError for ValueError, PluginError for a bug."""
    try:
        yield
    except FusionError:
        raise
    except ValueError as error:
        raise RunError(f"{one.name}: {error}") from error
    except Exception as error:
        raise PluginError(f"compression {one.name} failed: {error!r}") from error
