"""Products of integers that are exact, and the layers of floats that they stand for."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from fusion.quantization.rounding import LARGEST, TINY, straight

EXACT = 1024
"""Products of bytes that fp32 sums up without rounding: 1024 * 127 * 127 < 2 ** 24."""


def multiply(one: Tensor, other: Tensor) -> Tensor:
    """Return the exact product of (m, k) and (k, n) int8 matrices of sizes up to 127, (m, n) int32.

    By torch's kernel where it has a fast one, on a CPU that of oneDNN; elsewhere in floats, with the same
    numbers.
    """
    rows, columns = one.shape[0], other.shape[1]
    if one.device.type == "cpu":
        fast = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    else:  # what cuBLAS asks for
        fast = one.device.type == "cuda" and rows > 16 and one.shape[1] % 8 == 0 and columns % 8 == 0
    if not fast:
        return in_floats(one, other)
    return torch._int_mm(one.contiguous(), other.contiguous())  # rows that overlap give wrong numbers


def in_floats(one: Tensor, other: Tensor) -> Tensor:
    """Return what `multiply` does, by products of floats that need not be rounded."""
    total = torch.zeros(one.shape[0], other.shape[1], dtype=torch.int32, device=one.device)
    with torch.autocast(one.device.type, enabled=False):
        for start, end in pairwise([*range(0, one.shape[1], EXACT), one.shape[1]]):
            total += (one[:, start:end].float() @ other[start:end].float()).int()
    return total


def steps(x: Tensor, kept: int) -> Tensor:
    """Return what one step of a code is worth to all that shares the first `kept` axes of x, (..., 1 ...)."""
    largest = x.abs().flatten(kept).amax(-1).view(*x.shape[:kept], *[1] * (x.ndim - kept))
    return largest.div_(LARGEST).clamp_(min=TINY)


def rounded(x: Tensor, kept: int) -> Tensor:
    """Return activations as they are once rounded; the gradient goes through unchanged."""
    with torch.no_grad():
        step = steps(x.float(), kept)
        exact = (x / step).round_().mul_(step)
    return straight(exact.to(x.dtype), x)


def linear(x: Tensor, codes: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
    """Return x (..., k) times a matrix (k, out) of codes and scales (out,), plus the bias, (..., out).

    Each row of x is rounded by itself, to 255 steps up to its largest magnitude: what it becomes does not
    depend on the other rows.
    """
    rows = x.reshape(-1, x.shape[-1]).float()
    step = steps(rows, 1)
    sums = multiply((rows / step).round_().to(torch.int8), codes)
    return _scaled(sums, step, scale, bias).view(*x.shape[:-1], -1).to(x.dtype)


def convolution(
    x: Tensor,
    codes: Tensor,
    scale: Tensor,
    bias: Tensor | None,
    stride: tuple[int, ...],
    padding: list[int],
    dilation: tuple[int, ...],
) -> Tensor:
    """Return the convolution of x (n, c, ...) with codes (out, c, ...) over one or two axes, (n, out, ...).

    Each sample is rounded by itself. `padding` is that of F.pad, of the last axis first.
    """
    sizes = codes.shape[2:]
    step = steps(x.float(), 1)
    patches = F.pad((x / step).round_().to(torch.int8).movedim(1, -1), (0, 0, *padding))  # (n, ..., c)
    for axis, (size, pace, wide) in enumerate(zip(sizes, stride, dilation, strict=True), 1):
        patches = patches.unfold(axis, (size - 1) * wide + 1, pace)[..., ::wide]
    places = patches.shape[1 : 1 + len(sizes)]
    columns = patches.movedim(1 + len(sizes), -1).flatten(0, len(sizes)).flatten(1)  # (n * places, ... * c)
    sums = multiply(columns, codes.permute(*range(2, codes.ndim), 1, 0).flatten(0, -2))
    each = step.view(-1, 1).repeat_interleave(places.numel(), 0)
    found = _scaled(sums, each, scale, bias).view(len(x), *places, len(codes))
    return found.movedim(-1, 1).contiguous().to(x.dtype)


def _scaled(sums: Tensor, step: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
    floats = sums.view(torch.float32).copy_(sums)  # in place: large new tensors cost more than the product
    floats.mul_(step).mul_(scale)
    return floats if bias is None else floats.add_(bias)
