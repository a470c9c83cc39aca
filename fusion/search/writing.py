"""Write what an index gets: the vectors of new rows behind those that are there, and what is searched by."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from fusion.data.order import Ints
from fusion.search import part as parts
from fusion.search.index import KINDS
from fusion.search.merged import Merged, Segment, lasting
from fusion.search.part import Part
from fusion.search.record import FUSED, Held, Kind, Written, file_of
from fusion.search.rows import Rows
from fusion.search.structure import calibrate

ASKING = 128
"""Vectors of each modality by which it is measured how much is found."""


def extend(
    place: Path,
    segments: Sequence[Segment],
    written: Sequence[Written],
    kept: Ints,
    new: Mapping[str, Part],
    modalities: Iterable[str],
) -> tuple[list[Segment], list[Written]]:
    """Return the segments that hold the rows that are kept, and new ones, and what a record says of them.

    Only what is not in a segment that lasts is written.
    """
    cut = []
    for one in segments:
        rows = one.parts[FUSED].rows[one.taken(FUSED)].numpy()
        cut.append(one._replace(rows=Rows.of(np.intersect1d(rows, kept, assume_unique=True))))
    added = new[FUSED].rows.numpy() if new else kept[:0]
    stay = lasting(cut, len(added))
    stays = [one.model_copy(update={"rows": str(cut[at].rows)}) for at, one in enumerate(written[:stay])]
    merged = Merged([*cut[stay:], *([Segment(Rows.of(added), new)] if len(added) else [])], modalities)
    if not merged:
        return cut[:stay], stays
    digests, held = {}, {}
    for modality in merged:
        part = merged.part(modality)
        digests[modality] = parts.write(place, part._asdict())
        held[modality] = parts.read(place / file_of(digests[modality]), part.vectors.shape[1])
    whole = Segment(Rows.of(held[FUSED].rows.numpy()), held)
    return [*cut[:stay], whole], [*stays, Written(rows=str(whole.rows), files=digests)]


def measure(place: Path, merged: Merged, kind: Kind) -> dict[str, Held]:
    """Return how each modality is searched, and write what that takes beside the vectors."""
    if KINDS[kind].whole:
        return {
            modality: Held(vectors=len(merged.rows(modality)), kind=kind, effort=1, recall=1.0, kept=None)
            for modality in merged
        }
    asking = {}
    for modality in merged:
        rows = merged.rows(modality)
        some = rows[torch.linspace(0, len(rows) - 1, min(len(rows), ASKING)).long()]
        asking[modality] = merged.part(modality, some).vectors
    made = {}
    for modality in merged:
        vectors = merged.part(modality).vectors
        kept = KINDS[kind].build(vectors)
        queries = torch.cat([some for name, some in asking.items() if (name == FUSED) == (modality == FUSED)])
        effort, recall = calibrate(KINDS[kind](vectors, kept), vectors, queries)
        digest = parts.write(place, kept)
        made[modality] = Held(vectors=len(vectors), kind=kind, effort=effort, recall=recall, kept=digest)
    return made
