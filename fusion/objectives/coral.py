"""Let the sources have the same covariance."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from fusion.embeddings import Embeddings
from fusion.objective import Objective
from fusion.objectives.domains import check_modality, mean_distance, rows_of, same_source


class Coral(Objective):
    """Deep CORAL (Sun and Saenko 2016, eq. 1), between every two sources of the batch.

    The squared Frobenius distance of the covariances of their vectors, over 4 w^2: of the fused ones, or of
    those of `modality`. No target is read, so sources may be without labels. Vectors of a modality have unit
    length, and the loss is of the order of 1 / w^3: give it a large weight.
    """

    def __init__(self, modalities: Sequence[str], width: int, *, modality: str | None = None) -> None:
        super().__init__(modalities, width)
        self.modality = check_modality(modality, self.modalities)

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        x, rows = rows_of(embeddings, fused, self.modality)
        same = same_source(embeddings.source, rows)
        counts = same.sum(dim=1)  # (b,) rows of the row's source
        centred = x - (same.to(x.dtype) @ x) / counts.clamp(min=1).unsqueeze(1)  # (b, w)
        # the inner product of two covariances is the sum of the squared products of their rows
        weight = (counts > 1) / (counts - 1).clamp(min=1)
        return mean_distance((centred @ centred.T).square(), weight, same) / (4 * self.width**2)
