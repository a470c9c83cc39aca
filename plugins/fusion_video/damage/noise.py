"""Noise."""

from typing import Any

import numpy as np

from fusion_video.film import Film
from fusion_video.pictures import as_pictures


def noise(raw: Any, severity: int, rng: np.random.Generator) -> Film:
    """Add Gaussian noise, another one to every frame, as `image-gaussian-noise` does to a picture."""
    return as_pictures(raw, "gaussian-noise", severity, rng)
