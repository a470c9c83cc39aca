"""Fuse by products: every interaction between modalities, in a tensor of low rank."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from fusion.embeddings import Embeddings
from fusion.fuser import Fuser


class LowRank(Fuser):
    """Low-rank multimodal fusion (LMF, Liu et al. 2018, section 3.3).

    h = sum over i <= rank of the product over m of W_m^(i) [x_m; 1]: the outer product of all [x_m; 1],
    contracted with a tensor that is a sum of `rank` outer products. The constant 1 keeps interactions of
    lower order, so an absent modality enters as [0; 1] and leaves those of the others in place.
    """

    def __init__(self, modalities: Sequence[str], width: int, *, rank: PositiveInt = 4) -> None:
        super().__init__(modalities, width)
        self.factors = nn.ParameterDict(
            {name: nn.Parameter(torch.randn(rank, width + 1, width) * rank**-0.5) for name in self.modalities}
        )
        with torch.no_grad():
            for factor in self.factors.values():
                # the constant's weights start at 1: a product of many small factors would vanish
                factor[:, -1] = 1.0

    def forward(self, embeddings: Embeddings) -> Tensor:
        projected = [
            torch.einsum(
                "bw,rwo->bro", F.pad(embeddings.visible(name), (0, 1), value=1.0), self.factors[name]
            )
            for name in self.modalities
        ]
        return torch.stack(projected).prod(0).sum(1)  # (b, w)
