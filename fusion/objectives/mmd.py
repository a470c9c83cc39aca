"""Let the sources have the same distribution, as far as kernels tell."""

from collections.abc import Mapping, Sequence

import torch
from pydantic import PositiveFloat
from torch import Tensor

from fusion.embeddings import Embeddings
from fusion.objective import Objective
from fusion.objectives.domains import check_modality, mean_distance, rows_of, same_source


class Mmd(Objective):
    """The squared maximum mean discrepancy (Gretton et al. 2012, eq. 5) of every two sources of the batch.

    With several kernels (Long et al. 2015, DAN): the mean of exp(-|x - y|^2 / (scale m)) over `scales`, where
    m is the mean of |x - y|^2 over the rows of the batch that take part. On the fused vectors, or on those of
    `modality`. No target is read, so sources may be without labels.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        width: int,
        *,
        modality: str | None = None,
        scales: tuple[PositiveFloat, ...] = (0.25, 0.5, 1.0, 2.0, 4.0),
    ) -> None:
        super().__init__(modalities, width)
        if not scales:
            raise ValueError("scales is empty; give at least one")
        self.modality = check_modality(modality, self.modalities)
        self.scales = scales

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        x, rows = rows_of(embeddings, fused, self.modality)
        squares = x.square().sum(dim=1)
        apart = (squares.unsqueeze(1) + squares - 2 * x @ x.T).clamp(min=0)  # (b, b)
        both = rows.unsqueeze(1) & rows
        spread = (apart.detach() * both).sum() / both.sum().clamp(min=1)
        spread = torch.where(spread > 0, spread, 1.0)  # all rows are equal, or there are none
        kernel = sum(((-apart / (scale * spread)).exp() for scale in self.scales), torch.zeros_like(apart))
        kernel = kernel / len(self.scales)
        same = same_source(embeddings.source, rows)
        weight = rows / same.sum(dim=1).clamp(min=1)
        return mean_distance(kernel, weight, same)
