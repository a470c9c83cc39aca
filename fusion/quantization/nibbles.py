"""Weights of four bits in groups, two to a byte, whose products are those of bytes."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from fusion.quantization.rounding import TINY, Form, Integers, finite

LARGEST = 7
FACTORS = 18  # 18 * 7 = 126 is a byte
ZERO = 8  # what the nibble of 0 is


class Nibbles(Form):
    """Four bits for each element, a factor of 1 to 18 for each `group` of an output, a scale for each output.

    An element is nibble * factor * scale. Since nibble * factor is a byte, whatever multiplies bytes
    multiplies these (progressive group quantization, Lin et al. 2024, QServe, section 4.1, here symmetric).
    The last group of an output may be shorter than the others.
    """

    suffixes = ("int4", "factor", "scale")

    def __init__(self, group: int) -> None:
        self.group = group

    def encode(self, weight: Tensor) -> dict[str, Tensor]:
        flat = finite(weight)
        scale = (flat.abs().amax(1) / (FACTORS * LARGEST)).clamp(min=TINY)
        grouped = self._grouped(flat / scale[:, None])  # (out, groups, group), of size 126 at most
        factor = (grouped.abs().amax(2) / LARGEST).ceil().clamp(1, FACTORS)
        nibbles = (grouped / factor[..., None]).round().to(torch.int8) + ZERO
        pairs = nibbles.flatten(1).view(torch.uint8).view(len(flat), -1, 2)
        packed = pairs[..., 0] | (pairs[..., 1] << 4)
        return {"int4": packed, "factor": factor.to(torch.uint8), "scale": scale}

    def integers(self, parts: Mapping[str, Tensor], shape: torch.Size) -> Integers:
        packed, factor = parts["int4"], parts["factor"]
        pairs = torch.stack([packed & 15, packed >> 4], dim=2)  # (out, k / 2, 2)
        nibbles = pairs.view(torch.int8).view(len(packed), factor.shape[1], self.group) - ZERO
        codes = (nibbles * factor[..., None].view(torch.int8)).flatten(1)
        return Integers(codes[:, : shape[1:].numel()].reshape(shape), parts["scale"])

    def _grouped(self, flat: Tensor) -> Tensor:
        return F.pad(flat, (0, -flat.shape[1] % self.group)).view(len(flat), -1, self.group)
