"""The forward of torch's layers when their matrices are kept as integers."""

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusion.attention import attend
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
    same = query is key, key is value

    def project(query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        return _projections(self, query, key, value, *same)

    masks = (key_padding_mask, need_weights, attn_mask, average_attn_weights)
    return attend(self, project, query, key, value, *masks)


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
