"""Labelled vectors whose classes lie a given distance apart."""

from collections.abc import Callable

import numpy as np
import pytest

from fusion import Labelled

Make = Callable[..., Labelled]


@pytest.fixture
def rows() -> Make:
    """n rows of d numbers in three classes of different size; `signal` moves each class along an axis."""

    def make(n: int = 40, d: int = 6, signal: float = 1.0, seed: int = 0) -> Labelled:
        rng = np.random.default_rng(seed)
        labels = np.concatenate([np.arange(3), rng.choice(3, n - 3, p=[0.5, 0.3, 0.2])])
        vectors = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + 0.5
        vectors[:, :3] += signal * np.eye(3)[labels]
        return Labelled(vectors, labels, None)

    return make
