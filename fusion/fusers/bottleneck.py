"""Fuse through a bottleneck: modalities exchange what fits into a few shared tokens."""

from collections.abc import Mapping, Sequence

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from fusion.embeddings import Embeddings
from fusion.fuser import Fuser
from fusion.fusers.attention import block, sequence


class Bottleneck(Fuser):
    """Attention bottlenecks (MBT, Nagrani et al. 2021, section 3.3).

    In every layer each modality, with weights of its own, attends to itself and to the bottleneck tokens,
    [z_m, f_m] = Transformer_m([z_m, f]); then f = mean of f_m over the modalities present. The fused
    vector is the mean of the present modalities' normalised pooled vectors, as MBT averages its class
    tokens; zeros where nothing is present. With one layer nothing is exchanged: what modalities have
    written into the bottlenecks is read in the next one.
    """

    reads_tokens = True

    def __init__(
        self,
        modalities: Sequence[str],
        width: int,
        *,
        bottlenecks: PositiveInt = 4,
        heads: PositiveInt = 4,
        layers: PositiveInt = 2,
    ) -> None:
        super().__init__(modalities, width)
        self.bottlenecks = nn.Parameter(torch.randn(bottlenecks, width) * width**-0.5)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({name: block(width, heads) for name in self.modalities}) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, embeddings: Embeddings) -> Tensor:
        shared = self.bottlenecks.expand(embeddings.source.shape[0], -1, -1)  # (b, k, w)
        parts = {name: sequence(embeddings, name) for name in self.modalities}
        own = {name: part.vectors for name, part in parts.items()}  # (b, 1 + t, w)
        open_to_all = torch.zeros(shared.shape[:2], dtype=torch.bool, device=shared.device)
        hidden = {name: torch.cat([part.hidden, open_to_all], dim=1) for name, part in parts.items()}
        for layer in self.blocks:
            assert isinstance(layer, nn.ModuleDict)
            written = {}
            for name, z in own.items():
                both = layer[name](torch.cat([z, shared], dim=1), src_key_padding_mask=hidden[name])
                own[name], written[name] = both[:, : z.shape[1]], both[:, z.shape[1] :]
            shared = _average(written, embeddings.present)
        return _average({name: self.norm(z[:, :1]) for name, z in own.items()}, embeddings.present)[:, 0]


def _average(vectors: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
    """Average (b, t, w) over the modalities that are present in each row."""
    shown = torch.stack([present[name] for name in vectors])[..., None, None]  # (m, b, 1, 1)
    stacked = torch.stack(list(vectors.values()))  # (m, b, t, w)
    return stacked.masked_fill(~shown, 0.0).sum(0) / shown.sum(0).clamp(min=1)
