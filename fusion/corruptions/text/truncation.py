"""Only the beginning."""

from typing import Any

import numpy as np

from fusion.data import decode


def truncation(raw: Any, severity: int, rng: np.random.Generator) -> str:
    """Keep the first 80, 65, 50, 35 or 20 % of the characters, rounded up."""
    text = decode.text(raw)
    kept = (80, 65, 50, 35, 20)[severity - 1]
    return text[: -(-len(text) * kept // 100)].rstrip()
