"""Only the beginning."""

from typing import Any

import numpy as np

from fusion_video.film import Film, film


def cut_short(raw: Any, severity: int, rng: np.random.Generator) -> Film:
    """See the first 80, 65, 50, 35 or 20 % of the frames, one at least."""
    given = film(raw)
    kept = (0.8, 0.65, 0.5, 0.35, 0.2)[severity - 1]
    return given._replace(end=given.start + kept * (given.end - given.start))
