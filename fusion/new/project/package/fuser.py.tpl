"""The fuser `$kebab-max`: what is strongest in any modality."""

import torch
from fusion import Embeddings, Fuser
from torch import Tensor


class Max(Fuser):
    """The largest value of each feature over what is present; zeros where nothing is."""

    def forward(self, embeddings: Embeddings) -> Tensor:
        present = torch.stack([embeddings.present[name] for name in self.modalities])  # (m, b)
        pooled = torch.stack([embeddings.visible(name) for name in self.modalities])  # (m, b, w)
        largest = pooled.masked_fill(~present[..., None], -torch.inf).amax(0)  # (b, w)
        return largest.masked_fill(~present.any(0)[:, None], 0.0)
