"""Capitals and small letters."""

from typing import Any

import numpy as np

from fusion.data import decode


def case(raw: Any, severity: int, rng: np.random.Generator) -> str:
    """Turn 20, 40, 60, 80 or all of 100 % of the letters from small to capital, or back."""
    letters = list(decode.text(raw))
    hit = rng.random(len(letters)) < 0.2 * severity
    return "".join(one.swapcase() if turned else one for one, turned in zip(letters, hit, strict=True))
