"""Compression by JPEG."""

import io
from typing import Any

import numpy as np
from PIL import Image

from fusion.corruptions.sizes import at
from fusion.data import decode


def jpeg(raw: Any, severity: int, rng: np.random.Generator) -> Image.Image:
    """Compress by JPEG and read again; the quality is rounded."""
    picture = decode.image(raw)
    quality = round(at(picture, severity, [80, 65, 58, 50, 40], [25, 18, 15, 10, 7]))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return decode.image(file.getvalue())
