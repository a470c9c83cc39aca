"""What the fusers that attend share: a modality as a sequence, and the transformer block."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from fusion.embeddings import Embeddings
from fusion.errors import Problem, RecipeError


class Sequence(NamedTuple):
    """Vectors to attend to. What `hidden` marks is zeros here, and no key of any attention."""

    vectors: Tensor  # (b, t, w)
    hidden: Tensor  # (b, t) bool


def sequence(embeddings: Embeddings, modality: str) -> Sequence:
    """Return a modality's pooled vector, then its tokens if the batch has any, (b, 1 + t, w)."""
    vectors = [embeddings.visible(modality).unsqueeze(1)]
    shown = [embeddings.present[modality].unsqueeze(1)]
    if modality in embeddings.tokens:
        mask = embeddings.mask[modality]
        # what a hidden slot holds may be NaN, and a masked key still enters sums: 0 * NaN is NaN
        vectors.append(embeddings.tokens[modality].masked_fill(~mask.unsqueeze(-1), 0.0))
        shown.append(mask)
    return Sequence(torch.cat(vectors, dim=1), ~torch.cat(shown, dim=1))


def block(width: int, heads: int, dropout: float = 0.0) -> nn.TransformerEncoderLayer:
    """Build a pre-norm transformer layer. Raises RecipeError when the heads do not divide the width."""
    if width % heads:
        message = f"width ({width}) must be divisible by heads ({heads})"
        raise RecipeError([Problem("fuser.heads", message)])
    return nn.TransformerEncoderLayer(
        width, heads, 4 * width, dropout, activation="gelu", batch_first=True, norm_first=True
    )
