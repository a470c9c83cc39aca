"""How strongly a picture of a size is damaged: as those of ImageNet-C are, and those of CIFAR-10-C.

Hendrycks & Dietterich 2019 chose one table for pictures of 224 pixels and a milder one for those of 32. The
first holds from 224 on, the second up to 32, and a power of the side between them; the side is that of a
square of the same area.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

SMALL, LARGE = 32, 224  # sides, in pixels


def at(picture: Image.Image, severity: int, small: Sequence[float], large: Sequence[float]) -> float:
    """Return what holds for the size of a picture, of the tables for both sizes."""
    share = np.log(side(picture) / SMALL) / np.log(LARGE / SMALL)
    one, other = small[severity - 1], large[severity - 1]
    return float(one * (other / one) ** np.clip(share, 0, 1))


def side(picture: Image.Image) -> float:
    """Return the side of a square of a picture's area, in pixels."""
    return float(np.sqrt(picture.width * picture.height))


def picture_of(pixels: np.ndarray[Any, np.dtype[np.float32]]) -> Image.Image:
    """Return pixels (h, w, 3), from 0 to 255, as a picture."""
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))
