"""Blur."""

from typing import Any

import numpy as np

from fusion_video.film import Film
from fusion_video.pictures import as_pictures


def blur(raw: Any, severity: int, rng: np.random.Generator) -> Film:
    """Blur every frame, as `image-blur` does a picture."""
    return as_pictures(raw, "blur", severity, rng)
