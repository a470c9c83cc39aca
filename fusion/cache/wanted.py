"""What a training wants of the cache: features of some modalities for each source, and targets."""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from fusion.batch import Source, Stream
from fusion.cache.columns import Modality, Targets
from fusion.cache.key import Key, encoder_key, probe, source_key, targets_key
from fusion.cache.parts import Content, Features, Labels
from fusion.data.loader import Steps
from fusion.data.order import Ints
from fusion.encoder import Encoder
from fusion.model import Model
from fusion.recipe.schema import Recipe
from fusion.registry import Registry


class Wanted(NamedTuple):
    """An entry that a training wants: what it holds, of which rows of which source."""

    what: str  # in a word
    number: int  # of the source
    name: str
    source: Source
    rows: Ints
    content: Content
    key: Key

    @property
    def title(self) -> str:
        return f"{self.what} of {self.name}"


def wanted(
    dtypes: Mapping[str, str], steps: Steps, recipe: Recipe, model: Model, registry: Registry, device: Any
) -> list[Wanted]:
    """Return the entries for modalities, in these types of numbers, of the rows that the training reads.

    Where all modalities are among them, targets are too: then no row needs to be looked at.
    """
    contents: list[tuple[str, Content, Key]] = []
    for name, dtype in dtypes.items():
        encoder = cast(Encoder, model.encoders[name])
        key = {
            "modality": name,
            "encoder": encoder_key(encoder, recipe.encoders[name], registry),
            "tokens": model.fuser.reads_tokens,
            "dtype": dtype,
            "device": device.type,
        }
        encoder.to(device).eval()
        column = Modality(name, encoder.processor, recipe.evaluate.batch)
        contents.append((name, Features(column, model.encode, encoder.dim, dtype, device), key))
    targets = steps.reader.collator.targets
    if targets and tuple(dtypes) == recipe.modalities and recipe.teacher is None:
        contents.append(("targets", Labels(Targets(targets)), {"targets": targets_key(targets)}))
    found = []
    for number, (name, source) in enumerate(zip(steps.reader.names, steps.reader.sources, strict=True)):
        assert not isinstance(source, Stream)
        rows, pick = steps.order.rows(number, recipe.train.steps), recipe.sources[name]
        about, probes = (pick, len(source), rows), probe(source)
        for what, content, key in contents if len(rows) else ():
            if not (isinstance(content, Features) and what in pick.without):
                whole = {**key, "source": source_key(*about, probes, content.column, registry)}
                found.append(Wanted(what, number, name, source, rows, content, whole))
    return found
