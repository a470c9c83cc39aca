"""Vectors in fewer bits: halves, bytes over the range of each dimension, or signs."""

from typing import NamedTuple

import torch
from torch import Tensor

from fusion.quantization.rounding import TINY

BITS = 2 ** torch.arange(7, -1, -1)  # the first dimension is the highest bit of a byte


class Ranges(NamedTuple):
    """From where to where the bytes of each dimension reach; what lies beyond becomes the nearest end."""

    low: Tensor  # (w,)
    high: Tensor  # (w,)

    @property
    def step(self) -> Tensor:
        """What one step of a byte is worth, (w,)."""
        return ((self.high - self.low) / 255).clamp(min=TINY)


def encode(vectors: Tensor, precision: str, ranges: Ranges | None = None) -> Tensor:
    """Return vectors (r, w) in a precision: (r, w), or as signs (r, w / 8 rounded up) uint8.

    Bytes are int8, -128 at the low end of `ranges` and 127 at the high end. A bit is 1 above 0.
    """
    if precision == "binary":
        bits = torch.nn.functional.pad((vectors > 0).to(torch.uint8), (0, -vectors.shape[1] % 8))
        return (bits.view(len(bits), -1, 8) * BITS.to(bits)).sum(2, dtype=torch.uint8)
    if precision == "int8":
        assert ranges is not None
        return ((vectors.float() - ranges.low) / ranges.step - 128).round().clamp(-128, 127).to(torch.int8)
    return vectors.to(getattr(torch, precision))


def decode(codes: Tensor, precision: str, width: int, ranges: Ranges | None = None) -> Tensor:
    """Return the vectors (..., w) fp32 that codes stand for; signs are -1 and 1."""
    if precision == "binary":
        return signs(codes, width).float()
    if precision == "int8":
        assert ranges is not None
        return (codes.float() + 128) * ranges.step + ranges.low
    return codes.float()


def signs(codes: Tensor, width: int) -> Tensor:
    """Return what bits say, -1 or 1, (..., w) int8."""
    bits = codes.unsqueeze(-1).bitwise_and(BITS.to(codes)) != 0  # (..., w / 8, 8)
    return bits.flatten(-2)[..., :width].to(torch.int8).mul_(2).sub_(1)
