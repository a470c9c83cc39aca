"""Noise."""

from typing import Any

import numpy as np
from PIL import Image

from fusion.corruptions.sizes import LARGE, at, picture_of, side
from fusion.data import decode


def gaussian_noise(raw: Any, severity: int, rng: np.random.Generator) -> Image.Image:
    """Add Gaussian noise; pictures larger than 224 get it in larger grains, as they are seen smaller."""
    picture = decode.image(raw)
    deviation = 255 * at(picture, severity, [0.04, 0.06, 0.08, 0.09, 0.10], [0.08, 0.12, 0.18, 0.26, 0.38])
    pixels = np.asarray(picture, np.float32)  # (h, w, 3)
    height, width, _ = pixels.shape
    grain = max(1, round(side(picture) / LARGE))
    noise = rng.standard_normal((-(-height // grain), -(-width // grain), 3), np.float32)
    spread = noise.repeat(grain, axis=0).repeat(grain, axis=1)[:height, :width]
    return picture_of(pixels + np.float32(deviation) * spread)
