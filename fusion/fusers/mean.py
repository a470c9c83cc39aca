"""Fuse by averaging: no parameters, the baseline that others have to beat."""

import torch
from torch import Tensor

from fusion.embeddings import Embeddings
from fusion.fuser import Fuser


class Mean(Fuser):
    """The mean of the pooled vectors that are present; zeros where none is.

    In a shared space this is the sum of concepts that Girdhar et al. 2023 (ImageBind) search with.
    """

    def forward(self, embeddings: Embeddings) -> Tensor:
        pooled = torch.stack([embeddings.visible(name) for name in self.modalities])  # (m, b, w)
        present = torch.stack([embeddings.present[name] for name in self.modalities])  # (m, b)
        return pooled.sum(0) / present.sum(0).clamp(min=1).unsqueeze(-1)  # (b, w)

    def shares(self, embeddings: Embeddings) -> Tensor:
        """Return the same share of every modality that is present, (b, m)."""
        present = torch.stack([embeddings.present[name] for name in self.modalities], dim=-1).float()
        return present / present.sum(-1, keepdim=True).clamp(min=1)
