"""Find raw samples of a modality to try a component on: in the sources that are installed."""

import pickle
from itertools import islice
from typing import Any

from fusion.batch import Choices, Source, Stream
from fusion.encoder import Encoder
from fusion.registry import Offer, Origin, Registry
from fusion.testing.tiny import builder, tiny

SAMPLES = 6
LOOKED_AT = 64  # rows of a source, for samples whose sizes differ


def samples_of(modality: str, origin: Origin, registry: Registry) -> list[Any]:
    """Return raw samples of a modality, of sizes as different as a source has them; none without a source."""
    for other in nearest(registry, origin, "source"):
        try:
            rows = rows_of(build_source(other))
        except Exception:  # its own check says why  # nosec B112
            continue
        given = [row[modality] for row in rows if row.get(modality) is not None]
        found = [one for some in given for one in (some if isinstance(some, Choices) else [some])]
        if len(found) > 1:
            found.sort(key=lambda sample: len(pickle.dumps(sample)))
            count = min(SAMPLES, len(found))
            return [found[place * (len(found) - 1) // (count - 1)] for place in range(count)]
    return []


def tiny_encoder(offer: Offer, registry: Registry) -> Encoder:
    """Return an encoder in its tiny form, fitted to the samples that there are."""
    samples = samples_of(str(offer.component.modality), offer.origin, registry)
    encoder: Encoder = builder(offer, registry)(**tiny(offer, samples))
    return encoder


def nearest(registry: Registry, origin: Origin, kind: str) -> list[Offer]:
    """Return what is offered of a kind, that of the same plugin first."""
    return sorted(
        (other for other in registry if other.kind == kind), key=lambda other: other.origin != origin
    )


def rows_of(source: Source | Stream) -> list[Any]:
    if isinstance(source, Stream):
        return list(islice(source.rows(0, 1, 0), LOOKED_AT))
    return [source[place] for place in range(min(len(source), LOOKED_AT))]


def build_source(offer: Offer) -> Source | Stream:
    return offer.component.resolve()(**tiny(offer))  # type: ignore[no-any-return]
