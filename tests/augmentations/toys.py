"""How augmentations are called in these tests."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fusion import Augmentation

Vary = Callable[..., Any]


def vary(augmentation: Augmentation, raw: Any, seed: int = 0, *other: Any) -> Any:
    """Varies a raw sample with a seed; asking for another row fails unless `other` is given."""

    def partner() -> Any:
        assert other, "this augmentation mixes nothing in"
        return other[0]

    return augmentation(raw, np.random.default_rng(seed), partner)
