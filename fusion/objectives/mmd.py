"""Let the sources have the same distribution, as far as kernels tell."""

from collections.abc import Mapping, Sequence

import torch
from pydantic import PositiveFloat
from torch import Tensor

from fusion.embeddings import Embeddings
from fusion.objective import Objective
from fusion.objectives.domains import check_modality, how_many_equal, rows_of
from fusion.objectives.tiles import sum_over_tiles


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
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        taking_part, number = rows.to(x.dtype), rows.sum().clamp(min=1)  # (b,), ()
        # distances are the same from anywhere, and from the middle they lose least by rounding
        x = x - (taking_part @ x.detach() / number)
        spread = 2 * (taking_part @ x.detach().square().sum(dim=1)) / number
        spread = torch.where(spread > 0, spread, 1.0)  # all rows are equal, or there are none
        source = torch.where(rows, embeddings.source, -1)
        share = taking_part / how_many_equal(source)  # (b,) of the mean of its source
        sources = share.sum().round()

        def measure(i: slice, j: slice, x: Tensor, y: Tensor) -> Tensor:
            apart = x.square().sum(dim=1, keepdim=True) + y.square().sum(dim=1) - 2 * x @ y.T
            apart = apart.clamp(min=0) / -spread
            kernel = sum(((apart / scale).exp() for scale in self.scales), torch.zeros_like(apart))
            same = source[i].unsqueeze(1) == source[j]
            return share[i] @ (kernel * (sources * same - 1) @ share[j]) / len(self.scales)

        # with G_st the mean of the kernel over rows of s and t, a pair of sources has G_ss + G_tt - 2 G_st;
        # over the pairs of S sources that sums up to S times all G_ss less all G_st
        difference = sum_over_tiles(measure, x, x)
        pairs = sources * (sources - 1) / 2
        return torch.where(sources > 1.5, difference / pairs.clamp(min=1), 0.0 * difference)
