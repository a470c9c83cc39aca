"""Search with samples in place of vectors."""

from collections.abc import Sequence

from fusion.inference import Predictor, Rows
from fusion.search.index import Hit, Index


def find(
    predictor: Predictor, index: Index, rows: Rows, k: int, within: Sequence[str] | None = None
) -> list[list[Hit]]:
    """Return at most k hits for each row, the nearest first.

    Within a modality a row asks by the mean of its own modalities' vectors, at unit length: by its vector, where
    it has one modality. Within "fused" it asks by its fused vector. Raises DataError.
    """
    raise NotImplementedError
