"""The forward of torch's layers when their matrices are kept as integers."""

import math
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusion.quantization import product
from fusion.quantization.rounding import straight

if TYPE_CHECKING:
    from fusion.quantization.held import Held


def linear(self: Any, x: Tensor) -> Tensor:
    """Compute what nn.Linear does."""
    return _project(self, "weight", x, self.bias)


def convolution(self: Any, x: Tensor) -> Tensor:
    """Compute what nn.Conv1d and nn.Conv2d do."""
    held: nn.Conv1d | nn.Conv2d = self
    padding = held._reversed_padding_repeated_twice

    def floats(x: Tensor) -> Tensor:
        padded = F.pad(x, padding)
        convolve: Any = F.conv1d if isinstance(held, nn.Conv1d) else F.conv2d
        return convolve(padded, held.weight, held.bias, held.stride, 0, held.dilation)  # type: ignore[no-any-return]

    if x.ndim == len(held.kernel_size) + 1:  # without an axis of samples
        return convolution(self, x[None])[0]
    if self.learns("weight"):
        return floats(product.rounded(x, 1))
    codes, scale = self.integers("weight")
    options = (codes, scale, held.bias, held.stride, padding, held.dilation)
    if not _wants_gradient(x):
        return product.convolution(x, *options)
    with torch.no_grad():
        exact = product.convolution(x, *options)
    return straight(exact, floats(x))


def has_one_group(module: Any) -> bool:
    """Whether a convolution is a product of one matrix, and pads with zeros."""
    return bool(module.groups == 1 and module.padding_mode == "zeros")


def embedding(self: Any, ids: Tensor) -> Tensor:
    """Compute what nn.Embedding does: only the rows that are asked for become floats."""
    if self.learns("weight"):
        return F.embedding(ids, self.weight, self.padding_idx)
    codes, scale = self.integers("weight")
    rows: Tensor = codes[ids].float()
    return rows.mul_(scale[ids].unsqueeze(-1))


def attention(
    self: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Compute what nn.MultiheadAttention does; `is_causal` is the hint that it is there, beside the mask."""
    same, alike = query is key, key is value
    batched = query.ndim == 3
    if not batched:
        query, key, value = (part.unsqueeze(0) for part in (query, key, value))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    elif not self.batch_first:
        query, key, value = (part.transpose(0, 1) for part in (query, key, value))
    q, k, v = (
        part.view(*part.shape[:2], self.num_heads, self.head_dim).transpose(1, 2)  # (n, heads, t, d / heads)
        for part in _projections(self, query, key, value, same, alike)
    )
    mask = _mask(key_padding_mask, attn_mask, len(q), self.num_heads, q)
    dropout = self.dropout if self.training else 0.0
    weights = None
    if need_weights:
        scores = q @ k.transpose(2, 3) / math.sqrt(self.head_dim)
        weights = (scores if mask is None else scores + mask).softmax(-1)
        weights = F.dropout(weights, dropout) if dropout else weights
        seen = weights @ v
        weights = weights.mean(1) if average_attn_weights else weights
    else:
        seen = F.scaled_dot_product_attention(q, k, v, mask, dropout)
    out = self.out_proj(seen.transpose(1, 2).flatten(2))
    if not batched:
        return out[0], None if weights is None else weights[0]
    return out if self.batch_first else out.transpose(0, 1), weights


def has_one_projection(module: Any) -> bool:
    """Whether an attention projects queries, keys and values of one width by one matrix, and adds none."""
    return module.in_proj_weight is not None and module.bias_k is None and not module.add_zero_attn


def _projections(
    self: Any, query: Tensor, key: Tensor, value: Tensor, same: bool, alike: bool
) -> list[Tensor]:
    d = self.embed_dim
    if same and alike:
        together = _project(self, "in_proj_weight", query, self.in_proj_bias)
        return [together[..., start : start + d] for start in (0, d, 2 * d)]
    return [
        _project(self, "in_proj_weight", x, self.in_proj_bias, slice(start, start + d))
        for x, start in ((query, 0), (key, d), (value, 2 * d))
    ]


def _mask(padding: Tensor | None, given: Tensor | None, rows: int, heads: int, like: Tensor) -> Tensor | None:
    """Return what to add to scores (n, heads, t, s): masks are True, or -inf, where nothing may be seen."""
    added = [None if mask is None else _added(mask, like) for mask in (padding, given)]
    hidden, seen = added
    if hidden is not None:
        hidden = hidden[:, None, None]
    if seen is not None and seen.ndim == 3:
        seen = seen.view(rows, heads, *seen.shape[1:])
    if hidden is None or seen is None:
        return seen if hidden is None else hidden
    return hidden + seen


def _added(mask: Tensor, like: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill_(mask, -torch.inf)


def _project(self: "Held", matrix: str, x: Tensor, bias: Tensor | None, rows: slice | None = None) -> Tensor:
    """Return x (..., k) times a matrix (out, k), or some rows of it, plus the bias, (..., out)."""
    if rows is not None and bias is not None:
        bias = bias[rows]
    if self.learns(matrix):
        return F.linear(product.rounded(x, x.ndim - 1), _some(self.floats(matrix), rows), bias)
    codes, scale = self.integers(matrix)
    some = (_some(codes, rows).t(), _some(scale, rows), bias)
    if not _wants_gradient(x):
        return product.linear(x, *some)
    with torch.no_grad():
        exact = product.linear(x, *some)
    return straight(exact, F.linear(x, _some(self.floats(matrix), rows), bias))


def _some(part: Any, rows: slice | None) -> Tensor:
    return part if rows is None else part[rows]  # type: ignore[no-any-return]


def _wants_gradient(x: Tensor) -> bool:
    return torch.is_grad_enabled() and x.requires_grad
