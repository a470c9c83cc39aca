"""Attention of torch, with fewer heads than its width has room for."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
        single = query.ndim == 2
        if single:
            query, key, value = query[None], key[None], value[None]
        elif not self.batch_first:
            query, key, value = (part.transpose(0, 1) for part in (query, key, value))
        weights = self.in_proj_weight.chunk(3)
        biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        q, k, v = (
            F.linear(part, weight, bias).view(*part.shape[:2], -1, self.head_dim).transpose(1, 2)
            for part, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )  # (n, heads, t, d of a head)
        mask = self._mask(attn_mask, key_padding_mask, q, k)
        dropout = self.dropout if self.training else 0.0
        seen = None
        if need_weights:
            scores = q @ k.transpose(2, 3) / self.head_dim**0.5
            seen = (scores if mask is None else scores + mask).softmax(-1)
            mixed = F.dropout(seen, dropout) @ v
            seen = seen.mean(1) if average_attn_weights else seen
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, mask, dropout)
        out = self.out_proj(mixed.transpose(1, 2).flatten(2))
        if single:
            return out[0], None if seen is None else seen[0]
        return out if self.batch_first else out.transpose(0, 1), seen

    def _mask(self, mask: Tensor | None, padding: Tensor | None, q: Tensor, k: Tensor) -> Tensor | None:
        """Return what is added to the scores, (n, heads, t, s) or broadcast to it."""
        added = None
        if mask is not None:
            added = _added(mask, q)
            added = added if mask.ndim == 2 or len(mask) == 1 else added.view(len(q), -1, *mask.shape[1:])
        if padding is not None:
            hidden = _added(padding, q).view(len(k), 1, 1, k.shape[2])
            added = hidden if added is None else added + hidden
        return added


def _added(mask: Tensor, like: Tensor) -> Tensor:
    """Return a mask as numbers: where one is True nothing is seen."""
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, -torch.inf)
