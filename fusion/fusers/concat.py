"""Fuse by concatenation and a small network: the usual late fusion."""

from collections.abc import Sequence

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from fusion.embeddings import Embeddings
from fusion.fuser import Fuser


class Concat(Fuser):
    """Concatenated pooled vectors through one hidden layer (the joint layer of Ngiam et al. 2011).

    An absent modality enters as zeros; a flag per modality tells zeros from absence. `hidden` is the
    width of the hidden layer, twice the shared width when it is not given.
    """

    def __init__(self, modalities: Sequence[str], width: int, *, hidden: PositiveInt | None = None) -> None:
        super().__init__(modalities, width)
        hidden = hidden or 2 * width
        self.mlp = nn.Sequential(
            nn.Linear(len(self.modalities) * (width + 1), hidden), nn.GELU(), nn.Linear(hidden, width)
        )

    def forward(self, embeddings: Embeddings) -> Tensor:
        pooled = torch.cat([embeddings.visible(name) for name in self.modalities], dim=-1)  # (b, m * w)
        flags = torch.stack([embeddings.present[name] for name in self.modalities], dim=-1)  # (b, m)
        return self.mlp(torch.cat([pooled, flags.to(pooled.dtype)], dim=-1))  # type: ignore[no-any-return]
