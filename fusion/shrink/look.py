"""The rows that a compression may look at."""

import math
from collections.abc import Iterable

from fusion import build
from fusion.batch import Batch
from fusion.compression import Compression
from fusion.data.collate import Collator
from fusion.data.draw import Draw
from fusion.data.loader import Reader, Steps
from fusion.data.order import Order
from fusion.model import Model
from fusion.recipe.schema import Recipe
from fusion.registry import Registry

ROWS, BATCH = 256, 16


def look(
    model: Model, recipe: Recipe, registry: Registry, compressions: Iterable[Compression]
) -> list[Batch]:
    """Return the first rows of the training, not augmented, where a compression looks at any; else none.

    Raises DataError for a stream, whose rows cannot be asked for.
    """
    if all(type(one).observe is Compression.observe for one in compressions):
        return []
    sources = build.build_tables(recipe.sources, registry, "sources")
    lengths = {name: len(source) for name, source in sources.items()}
    weights = {name: pick.weight for name, pick in recipe.sources.items()}
    reader = Reader(sources, Collator(model.processors, model.targets()), Draw({}, 0.0, recipe.train.seed))
    steps = Steps(reader, Order(lengths, weights, BATCH, recipe.train.seed), 0, 1)
    return [steps[number].batch for number in range(math.ceil(min(ROWS, sum(lengths.values())) / BATCH))]
