"""Less contrast."""

from typing import Any

import numpy as np
from PIL import Image

from fusion.corruptions.sizes import at, picture_of
from fusion.data import decode


def contrast(raw: Any, severity: int, rng: np.random.Generator) -> Image.Image:
    """Leave a share of the distance from the mean colour."""
    picture = decode.image(raw)
    share = at(picture, severity, [0.75, 0.5, 0.4, 0.3, 0.15], [0.4, 0.3, 0.2, 0.1, 0.05])
    pixels = np.asarray(picture, np.float32)
    mean = pixels.mean(axis=(0, 1))
    return picture_of(mean + np.float32(share) * (pixels - mean))
