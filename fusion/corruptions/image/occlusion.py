"""A box before the picture."""

from typing import Any

import numpy as np
from PIL import Image

from fusion.data import decode


def occlusion(raw: Any, severity: int, rng: np.random.Generator) -> Image.Image:
    """Cover 10, 20, 30, 40 or 50 % of the area by a gray box of about the picture's shape, anywhere in it.

    After Zeiler & Fergus 2014, section 4.2; ImageNet-C has none, so the shares are our own.
    """
    picture = decode.image(raw)
    width = max(1, round(picture.width * np.sqrt(0.1 * severity)))
    height = max(1, round(picture.width * picture.height * 0.1 * severity / width))
    across, down = rng.random(2)  # a larger box holds the smaller one
    left, top = round((picture.width - width) * across), round((picture.height - height) * down)
    picture.paste((127, 127, 127), (left, top, left + width, top + height))
    return picture
