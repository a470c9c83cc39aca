"""Search with samples in place of vectors."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fusion.errors import RunError
from fusion.inference import Encoded, Predictor, Rows
from fusion.search.index import Hit, Index, nearest
from fusion.search.record import FUSED


def find(
    predictor: Predictor, index: Index, rows: Rows, k: int, within: Sequence[str] | None = None
) -> list[list[Hit]]:
    """Return at most k hits for each row, the nearest first.

    Within a modality a row asks by the mean of the unit vectors of its own modalities, which is its vector
    where it has one. Within "fused" it asks by its fused vector. Raises DataError, and RunError for an index
    that another model made.
    """
    if predictor.weights != index.record.weights:
        raise RunError(f"the index {index.name!r} was made by other weights than those that are to ask it")
    return find_encoded(index, predictor.encode(rows), k, within)


def find_encoded(
    index: Index, encoded: Encoded, k: int, within: Sequence[str] | None = None
) -> list[list[Hit]]:
    """Return at most k hits for each row that the model of the index has encoded, as `find` does."""
    chosen = index.within(within)
    found: list[list[Hit]] = [[] for _ in encoded.fused]
    for queries, names in (
        (mean(encoded), [name for name in chosen if name != FUSED]),
        (encoded.fused, [name for name in chosen if name == FUSED]),
    ):
        if names:
            for hits, more in zip(found, index.search(queries, k, names), strict=True):
                hits.extend(more)
    return [nearest(hits, k) for hits in found]


def mean(encoded: Encoded) -> Tensor:
    """Return the sum of the vectors of what each row has, (r, w): their mean but for its length."""
    return torch.stack(
        [vectors.masked_fill(~encoded.present[name][:, None], 0) for name, vectors in encoded.vectors.items()]
    ).sum(0)
