"""Put together what the steps of a training read."""

from collections.abc import Sequence

from fusion import build
from fusion.batch import Stream
from fusion.cache.choose import cacheable
from fusion.data.collate import Collator
from fusion.data.draw import Draw
from fusion.data.loader import Reader, Steps
from fusion.data.order import Order
from fusion.errors import DataError, Problem, RecipeError, unknown
from fusion.model import Model
from fusion.recipe.schema import Recipe
from fusion.registry import Registry


def training_steps(recipe: Recipe, model: Model, registry: Registry, rank: int = 0, ranks: int = 1) -> Steps:
    """Return the training batches of one rank. Raises DataError for sources that cannot be built.

    With a teacher a stream is one: no row of it has a place by which an output could be found again.
    """
    targets = model.targets()
    own = [key for key in targets if not key.startswith("teacher/")]  # which no source has
    known = list(dict.fromkeys([*recipe.modalities, *own, recipe.evaluate.target]))
    _expect_known(recipe, known)
    sources = build.build_sources(recipe.sources, registry)
    for name, source in sources.items():
        if recipe.teacher is not None and isinstance(source, Stream):
            raise DataError(
                f"sources.{name} is a stream, of whose rows a teacher's outputs cannot be kept; "
                "give random access, or leave out `teacher`"
            )
    cacheable(recipe, model, sources)  # what cannot be is said before a run folder is made
    lengths = {name: None if isinstance(source, Stream) else len(source) for name, source in sources.items()}
    weights = {name: pick.weight for name, pick in recipe.sources.items()}
    seed = recipe.train.seed
    draw = Draw(build.build_augmentations(recipe, registry), recipe.fuser.modality_dropout, seed)
    reader = Reader(sources, Collator(model.processors, targets), draw)
    order = Order(lengths, weights, recipe.train.rows, seed)
    return Steps(reader, order, rank, ranks, recipe.train.micro_batch)


def _expect_known(recipe: Recipe, known: Sequence[str]) -> None:
    """A misspelt key would show the training what it should hide."""
    problems = [
        Problem(f"sources.{name}.without", unknown("modality or target", key, known))
        for name, pick in recipe.sources.items()
        for key in pick.without
        if key not in known
    ]
    if problems:
        raise RecipeError(problems)
