"""Blur."""

from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from fusion.corruptions.sizes import LARGE, at, side
from fusion.data import decode


def blur(raw: Any, severity: int, rng: np.random.Generator) -> Image.Image:
    """Blur by a Gaussian, whose deviation keeps its share of the side from 224 on."""
    picture = decode.image(raw)
    deviation = at(picture, severity, [0.4, 0.6, 0.7, 0.8, 1.0], [1.0, 2.0, 3.0, 4.0, 6.0])
    return picture.filter(ImageFilter.GaussianBlur(deviation * max(1.0, side(picture) / LARGE)))
