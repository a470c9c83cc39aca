"""A box before the film."""

from typing import Any

import numpy as np

from fusion_video.film import Film
from fusion_video.pictures import as_pictures


def occlusion(raw: Any, severity: int, rng: np.random.Generator) -> Film:
    """Cover the same place of every frame, as `image-occlusion` does a picture."""
    return as_pictures(raw, "occlusion", severity, rng, alike=True)
