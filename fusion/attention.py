"""What torch's attention does between its projections, for those of other forms."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Project = Callable[[Tensor, Tensor, Tensor], Sequence[Tensor]]
"""Queries (n, t, d), keys and values (n, s, d) -> those of all heads, (n, t or s, heads * width of one)."""


def attend(
    module: Any,
    project: Project,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None,
    need_weights: bool,
    attn_mask: Tensor | None,
    average_attn_weights: bool,
) -> tuple[Tensor, Tensor | None]:
    """Return what nn.MultiheadAttention returns, given a module with its attributes, by other projections.

    A mask of (n * heads, t, s) has as many heads as `project` gives.
    """
    single = query.ndim == 2
    if single:
        query, key, value = query[None], key[None], value[None]
        key_padding_mask = None if key_padding_mask is None else key_padding_mask[None]
    elif not module.batch_first:
        query, key, value = (part.transpose(0, 1) for part in (query, key, value))
    q, k, v = (
        part.view(*part.shape[:2], -1, module.head_dim).transpose(1, 2)  # (n, heads, t, d of a head)
        for part in project(query, key, value)
    )
    mask = _mask(key_padding_mask, attn_mask, q)
    dropout = module.dropout if module.training else 0.0
    weights = None
    if need_weights:
        scores = q @ k.transpose(2, 3) / module.head_dim**0.5
        weights = F.dropout((scores if mask is None else scores + mask).softmax(-1), dropout)
        mixed = weights @ v
        weights = weights.mean(1) if average_attn_weights else weights
    else:
        mixed = F.scaled_dot_product_attention(q, k, v, mask, dropout)
    out = module.out_proj(mixed.transpose(1, 2).flatten(2))
    if single:
        return out[0], None if weights is None else weights[0]
    return out if module.batch_first else out.transpose(0, 1), weights


def _mask(padding: Tensor | None, given: Tensor | None, like: Tensor) -> Tensor | None:
    """Return what is added to scores (n, heads, t, s), or None; a mask hides by True or by -inf."""
    hidden = None if padding is None else _added(padding, like)[:, None, None]
    seen = None if given is None else _added(given, like)
    if seen is not None and seen.ndim == 3 and len(seen) > 1:
        seen = seen.view(len(like), -1, *seen.shape[1:])
    if hidden is None or seen is None:
        return seen if hidden is None else hidden
    return hidden + seen


def _added(mask: Tensor, like: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, -torch.inf)
