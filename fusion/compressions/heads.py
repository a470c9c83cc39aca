"""Attention of torch, with fewer heads than its width has room for."""

import torch.nn.functional as F
from torch import Tensor, nn

from fusion.attention import attend


class HeadAttention(nn.Module):
    """nn.MultiheadAttention of which heads were taken: what is left of its parameters, under their names.

    The width of a head is that of before; `num_heads` follows from the parameters.
    """

    _qkv_same_embed_dim = False  # so that torch's own layers call it, and do not compute with its parameters

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.embed_dim, self.head_dim = attention.embed_dim, attention.head_dim
        self.dropout, self.batch_first = attention.dropout, attention.batch_first
        self.in_proj_weight, self.in_proj_bias = attention.in_proj_weight, attention.in_proj_bias
        self.out_proj = attention.out_proj
        self.bias_k, self.add_zero_attn = None, False

    @property
    def num_heads(self) -> int:
        return int(len(self.in_proj_weight) // (3 * self.head_dim))

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend as nn.MultiheadAttention does, with its masks; a mask of (n * heads, t, s) has those left.

        Weights that are asked for are those of the heads that are left, or their mean.
        """
        masks = (key_padding_mask, need_weights, attn_mask, average_attn_weights)
        return attend(self, self._project, query, key, value, *masks)

    def _project(self, *given: Tensor) -> list[Tensor]:
        weights = self.in_proj_weight.chunk(3)
        biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        return [F.linear(*parts) for parts in zip(given, weights, biases, strict=True)]
