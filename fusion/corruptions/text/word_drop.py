"""Words that are left out."""

from typing import Any

import numpy as np

from fusion.data import decode


def word_drop(raw: Any, severity: int, rng: np.random.Generator) -> str:
    """Lose each word with probability 10, 20, 30, 40 or 50 %, but never all of them."""
    words = decode.text(raw).split()
    draws = rng.random(len(words))
    kept = draws >= min(0.1 * severity, draws.max())
    return " ".join(word for word, stays in zip(words, kept, strict=True) if stays)
