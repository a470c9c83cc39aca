"""A block of the FT-Transformer: attention over columns, and two linear maps with a ReGLU between them."""

import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """Attention and mixing, each after a norm and added to its input, as Gorishniy et al. (2021, figure 2).

    The first block has no norm before its attention. ReGLU is relu(a) * b (Shazeer 2020) of a width of 4/3.
    """

    def __init__(self, dim: int, heads: int, dropout: float, *, first: bool) -> None:
        super().__init__()
        self.size = dim // heads  # of a head; how many there are follows from the weights
        self.attention_norm = nn.Identity() if first else nn.LayerNorm(dim)
        self.mix_norm = nn.LayerNorm(dim)
        self.query_key_value, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        inner = dim * 4 // 3
        self.widen, self.narrow = nn.Linear(dim, 2 * inner), nn.Linear(inner, dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return x (n, tokens, d) after the block."""
        split = self.query_key_value(self.attention_norm(x)).unflatten(2, (3, -1, self.size))
        query, key, value = split.permute(2, 0, 3, 1, 4)  # each (n, heads, tokens, d / heads)
        seen = F.scaled_dot_product_attention(query, key, value)
        x = x + self.drop(self.out(seen.transpose(1, 2).flatten(2)))
        gate, kept = self.widen(self.mix_norm(x)).chunk(2, dim=2)
        return x + self.drop(self.narrow(self.drop(gate.relu() * kept)))
