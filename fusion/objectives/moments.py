"""Let the sources have the same first moments."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fusion.embeddings import Embeddings
from fusion.objective import Objective
from fusion.objectives.domains import by_source, check_modality, check_several, mean_of_pairs, rows_of

ORDERS = (1, 2)


class Moments(Objective):
    """Moment matching, M3SDA (Peng et al. 2019, eq. 1), between every two sources of the batch.

    The Euclidean distance of the means of their vectors, and that of the means of their squares: of the fused
    ones, or of those of `modality`. All pairs of sources weigh the same, where the paper takes the mean over
    pairs with the target apart from that over the others. No target is read.
    """

    def __init__(
        self, modalities: Sequence[str], width: int, sources: Sequence[str], *, modality: str | None = None
    ) -> None:
        super().__init__(modalities, width)
        self.modality = check_modality(modality, self.modalities)
        self.sources = check_several(sources)

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        x, rows = rows_of(embeddings, fused, self.modality)
        members = by_source(embeddings.source, rows, self.sources)
        counts = members.sum(dim=1)  # (sources,)
        one, other = torch.triu_indices(self.sources, self.sources, offset=1, device=x.device)
        met = (counts[one] > 0) & (counts[other] > 0)  # (pairs,)
        distance = torch.zeros_like(x[:, 0].sum())
        for order in ORDERS:
            moment = members.to(x.dtype) @ x**order / counts.clamp(min=1).unsqueeze(1)  # (sources, w)
            apart = torch.linalg.vector_norm(moment[one] - moment[other], dim=1)
            distance = distance + mean_of_pairs(apart, met)
        return distance
