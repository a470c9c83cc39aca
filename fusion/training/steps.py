"""Put together what the steps of a training read."""

from fusion import build
from fusion.batch import Stream
from fusion.data.collate import Collator
from fusion.data.draw import Draw
from fusion.data.loader import Reader, Steps
from fusion.data.order import Order
from fusion.model import Model
from fusion.recipe import Recipe
from fusion.registry import Registry


def training_steps(recipe: Recipe, model: Model, registry: Registry, rank: int = 0, ranks: int = 1) -> Steps:
    """Return the training batches of one rank. Raises DataError for sources that cannot be built."""
    sources = build.build_sources(recipe.sources, registry)
    lengths = {name: None if isinstance(source, Stream) else len(source) for name, source in sources.items()}
    weights = {name: pick.weight for name, pick in recipe.sources.items()}
    seed = recipe.train.seed
    draw = Draw(build.build_augmentations(recipe, registry), recipe.fuser.modality_dropout, seed)
    reader = Reader(sources, Collator(model.processors, model.targets()), draw)
    return Steps(reader, Order(lengths, weights, recipe.train.batch, seed), rank, ranks)
