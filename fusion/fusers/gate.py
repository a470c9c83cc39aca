"""Fuse by gates: every present modality decides, feature by feature, how much each one says."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fusion.embeddings import Embeddings
from fusion.fuser import Fuser


class Gate(Fuser):
    """The gated multimodal unit for any number of modalities (Arevalo et al. 2017, figure 2a).

    h = sum over m of z_m * tanh(W_m x_m), with the gates z_m = sigmoid(Y_m [x_1, ..., x_k]). The gates
    are not tied to sum to one; those of an absent modality are exactly 0, so that a row with nothing
    present is zeros.
    """

    def __init__(self, modalities: Sequence[str], width: int) -> None:
        super().__init__(modalities, width)
        all_widths = len(self.modalities) * width
        self.feature = nn.ModuleDict({name: nn.Linear(width, width, bias=False) for name in self.modalities})
        self.gate = nn.ModuleDict(
            {name: nn.Linear(all_widths, width, bias=False) for name in self.modalities}
        )

    def forward(self, embeddings: Embeddings) -> Tensor:
        gates = self.weigh(embeddings)
        said = [gates[name] * self.feature[name](embeddings.visible(name)).tanh() for name in self.modalities]
        return torch.stack(said).sum(0)  # (b, w)

    def weigh(self, embeddings: Embeddings) -> dict[str, Tensor]:
        """Return every modality's gates, between 0 and 1, (b, w)."""
        pooled = torch.cat([embeddings.visible(name) for name in self.modalities], dim=-1)  # (b, m * w)
        return {
            name: self.gate[name](pooled).sigmoid().masked_fill(~embeddings.present[name].unsqueeze(-1), 0.0)
            for name in self.modalities
        }

    def shares(self, embeddings: Embeddings) -> Tensor:
        """Return how far the gates of each modality are open, of all that are, (b, m)."""
        gates = self.weigh(embeddings)
        opened = torch.stack([gates[name].mean(dim=-1) for name in self.modalities], dim=-1)
        return opened / opened.sum(-1, keepdim=True).clamp(min=torch.finfo(opened.dtype).tiny)
