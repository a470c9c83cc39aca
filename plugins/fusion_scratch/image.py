"""The encoder `scratch-image`: a small residual convolutional net."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from fusion import Encoder, Encoding, Processor, Signal, decode

STRIDE = 8  # pixels to a token, each way


@dataclass(frozen=True)
class ImageProcessor(Processor):
    """Brings an image to RGB and `size` x `size` pixels, whatever its aspect."""

    size: int

    def decode(self, raw: object) -> NDArray[np.uint8]:
        return np.asarray(decode.image(raw).resize((self.size, self.size), Image.Resampling.BILINEAR))

    def collate(self, samples: Sequence[NDArray[np.uint8]]) -> dict[str, Tensor]:
        pixels = torch.from_numpy(np.stack(samples))  # (n, height, width, 3)
        return {"x": pixels.permute(0, 3, 1, 2).float() / 255}

    def signals(self, inputs: Mapping[str, Tensor]) -> dict[str, Signal]:
        return {"x": Signal(0.0, 1.0)}


class ScratchImage(Encoder):
    """Encodes images of `size` x `size` pixels; a token is a cell of 8 x 8 of them."""

    def __init__(self, *, size: int = 32, dim: int = 128) -> None:
        super().__init__()
        if size < STRIDE or size % STRIDE or dim % 4:
            raise ValueError(f"size ({size}) must be divisible by {STRIDE}, and dim ({dim}) by 4")
        self.dim = dim
        self.processor = ImageProcessor(size)
        self.net = nn.Sequential(
            nn.Conv2d(3, dim // 4, 3, stride=2, padding=1),
            nn.GroupNorm(1, dim // 4),
            nn.GELU(),
            Block(dim // 4, dim // 2),
            Block(dim // 2, dim),
        )

    def forward(self, x: Tensor) -> Encoding:
        """Encode images x (n, 3, size, size) in [0, 1]."""
        tokens = self.net(2 * x - 1).flatten(2).transpose(1, 2)  # (n, t, d)
        return Encoding(tokens.mean(1), tokens)


class Block(nn.Module):
    """Two convolutions beside a shortcut, at half the resolution (He et al. 2016).

    GroupNorm (Wu and He 2018) and not BatchNorm: a row must not depend on the others of its batch.
    """

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(width, out, 2, stride=2)
        self.body = nn.Sequential(
            nn.Conv2d(width, out, 3, stride=2, padding=1),
            nn.GroupNorm(1, out),
            nn.GELU(),
            nn.Conv2d(out, out, 3, padding=1),
            nn.GroupNorm(1, out),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.shortcut(x) + self.body(x))
