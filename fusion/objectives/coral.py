"""Let the sources have the same covariance."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fusion.embeddings import Embeddings
from fusion.objective import Objective
from fusion.objectives.domains import by_source, check_modality, check_several, mean_of_pairs, rows_of


class Coral(Objective):
    """Deep CORAL (Sun and Saenko 2016, eq. 1), between every two sources of the batch.

    The squared Frobenius distance of the covariances of their vectors, over 4 w^2: of the fused ones, or of
    those of `modality`. No target is read, so sources may be without labels. Vectors of a modality have unit
    length, and the loss is of the order of 1 / w^3: give it a large weight.
    """

    def __init__(
        self, modalities: Sequence[str], width: int, sources: Sequence[str], *, modality: str | None = None
    ) -> None:
        super().__init__(modalities, width)
        self.modality = check_modality(modality, self.modalities)
        self.sources = check_several(sources)

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        x, rows = rows_of(embeddings, fused, self.modality)
        members = by_source(embeddings.source, rows, self.sources)  # (sources, b)
        counts = members.sum(dim=1)
        covariances = torch.stack(
            [_covariance(x, own, n) for own, n in zip(members, counts, strict=True)]
        )  # (sources, w, w)
        one, other = torch.triu_indices(self.sources, self.sources, offset=1, device=x.device)
        known = (counts[one] > 1) & (counts[other] > 1)  # (pairs,) a single row has no covariance
        apart = (covariances[one] - covariances[other]).square().sum(dim=(1, 2))
        return mean_of_pairs(apart, known) / (4 * self.width**2)


def _covariance(x: Tensor, members: Tensor, count: Tensor) -> Tensor:
    """Return the covariance of the rows that are members, over n - 1 as in the paper, (w, w)."""
    share = members.to(x.dtype).unsqueeze(1)  # (b, 1)
    centred = (x - (share * x).sum(dim=0) / count.clamp(min=1)) * share
    return (centred.T @ centred).float() / (count - 1).clamp(min=1)
