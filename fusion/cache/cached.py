"""Let a training read the features of frozen encoders from the cache."""

from copy import copy
from typing import Any

from accelerate import Accelerator

from fusion.batch import Source, Stream
from fusion.cache.batches import HeldReader
from fusion.cache.choose import cacheable
from fusion.cache.fill import Filler
from fusion.cache.folder import Folder
from fusion.cache.kept import HeldFeatures, HeldTargets, Reread, Rows
from fusion.cache.machine import Machine
from fusion.cache.parts import Labels
from fusion.cache.wanted import wanted
from fusion.data.collate import Collator
from fusion.data.loader import Reader, Steps
from fusion.model import Model
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.training.progress import progress

Features = dict[str, dict[int, HeldFeatures]]  # by modality and number of the source


def cached(
    steps: Steps, recipe: Recipe, model: Model, registry: Registry, accelerator: Accelerator
) -> tuple[Steps, dict[str, Any]]:
    """Return the steps with features in place of samples, and what the manifest keeps of that.

    Features are those of encoders that do not learn, in evaluation mode and fp32, computed once by all
    processes. Where every modality has them, batches are read without a look at the rows. What cannot be
    kept is told, and computed in every step. Raises RecipeError for a `cache` that cannot be.
    """
    reader = steps.reader
    dtypes = cacheable(recipe, model, dict(zip(reader.names, reader.sources, strict=True)))
    if not dtypes:
        return steps, {}
    shown = progress("cache", 1, main=accelerator.is_main_process)
    settings = recipe.evaluate.batch, recipe.train.workers
    filler = Filler(Folder.found(), Machine(accelerator), *settings, shown.say, shown.warn)
    features: Features = {name: {} for name in dtypes}
    targets: dict[int, HeldTargets] = {}
    whole = tuple(dtypes) == recipe.modalities and recipe.teacher is None
    for one, entry in filler.entries(wanted(dtypes, steps, recipe, model, registry, accelerator.device)):
        labels = isinstance(one.content, Labels)
        if isinstance(entry, str):
            shown.warn(f"{one.title} cannot be kept in the cache ({entry}); it is read anew in every step")
            whole = False
            if not labels:
                features.pop(one.what, None)
        elif labels:
            targets[one.number] = HeldTargets(entry, one.rows, len(one.source), reader.collator.targets)
        elif one.what in features:
            features[one.what][one.number] = HeldFeatures(entry, one.rows, len(one.source))
    told = {}
    for name, held in features.items():
        rows = sum(len(part.rows) for part in held.values())
        names = [part.entry.name for part in held.values()]
        told[name] = {"rows": rows, "dtype": dtypes[name], "entries": names}
        shown.say(f"{name}: {rows:,} rows from the cache")
    read = copy(steps)
    read.reader = HeldReader(reader, features, targets) if whole else _beside(reader, features)
    return read, {"cache": told}


def _beside(reader: Reader, features: Features) -> Reader:
    """Return a reader that looks at the rows, for what the cache does not hold of them."""
    processors = {**reader.collator.processors, **{name: Reread(held) for name, held in features.items()}}
    sources: dict[str, Source | Stream] = {}
    for number, (name, source) in enumerate(zip(reader.names, reader.sources, strict=True)):
        assert not isinstance(source, Stream)
        parts = {modality: held[number] for modality, held in features.items() if number in held}
        sources[name] = Rows(source, number, parts)
    return Reader(sources, Collator(processors, reader.collator.targets), reader.draw)
