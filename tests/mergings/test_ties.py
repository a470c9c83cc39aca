"""TIES, worked out by hand and against the formulas of the paper in another form."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from fusion import Merging, Stored
from fusion.tensors import SPAN

Put = Callable[..., list[Stored]]
Build = Callable[..., Merging]


def test_worked_out_by_hand(build: Build, put: Put) -> None:
    base = [10.0, 10.0, 10.0, 10.0, 10.0]
    one = [14.0, 9.0, 12.0, 10.0, 7.0]  # learned 4, -1, 2, 0, -3; the three largest are 4, 2, -3
    two = [12.0, 13.0, 5.0, 11.0, 9.5]  # learned 2, 3, -5, 1, -0.5; of which stay 2, 3, -5
    [origin] = put(base)
    ties = build("ties", density=0.6)
    merged = ties.merge("x", put(one, two), ties.weigh([], 2), origin)
    # both +: mean 3; only two: 3; -5 outweighs 2: -5; nothing is left; only one: -3
    assert merged.tolist() == [13.0, 13.0, 5.0, 10.0, 7.0]
    scaled = build("ties", density=0.6, scale=0.5).merge("x", put(one, two), [0.5, 0.5], origin)
    assert scaled.tolist() == [11.5, 11.5, 7.5, 10.0, 8.5]


def test_weights_decide_the_sign_and_the_mean(build: Build, put: Put) -> None:
    [origin] = put([0.0, 0.0])
    ties = build("ties", density=1.0)
    tensors = put([4.0, 2.0], [-3.0, 5.0])
    assert ties.merge("x", tensors, ties.weigh([1, 1], 2), origin).tolist() == [4.0, 3.5]
    assert ties.merge("x", tensors, ties.weigh([1, 2], 2), origin).tolist() == [-3.0, 4.0]
    assert ties.merge("x", put([3.0, -3.0], [-3.0, 3.0]), [0.5, 0.5], origin).tolist() == [3.0, 3.0]


def reference(base: np.ndarray, runs: list[np.ndarray], weights: list[float], density: float) -> np.ndarray:
    """Return the paper's trim, elect and disjoint merge, number by number."""
    vectors = []
    for run in runs:
        vector = (run - base).ravel()
        keep = np.argsort(-np.abs(vector), kind="stable")[: max(1, int(density * vector.size))]
        trimmed = np.zeros_like(vector)
        trimmed[keep] = vector[keep]
        vectors.append(trimmed)
    merged = []
    for numbers in zip(*vectors, strict=True):
        mass = {
            sign: sum(w * abs(x) for w, x in zip(weights, numbers, strict=True) if np.sign(x) == sign)
            for sign in (1, -1)
        }
        wins = 1 if mass[1] >= mass[-1] else -1
        same = [(w, x) for w, x in zip(weights, numbers, strict=True) if np.sign(x) == wins]
        merged.append(sum(w * x for w, x in same) / sum(w for w, _ in same) if same else 0.0)
    return base + np.array(merged).reshape(base.shape)


@pytest.mark.parametrize("density", [0.001, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [0.5, 2.0, 1.0]])
def test_it_agrees_with_an_independent_reference(
    density: float, weights: list[float], build: Build, put: Put
) -> None:
    random = np.random.default_rng(0)
    base, *runs = random.standard_normal((4, 30, 41)).astype(np.float32)
    [origin] = put(torch.from_numpy(base))
    ties = build("ties", density=density)
    merged = ties.merge("x", put(*map(torch.from_numpy, runs)), ties.weigh(weights, 3), origin)
    np.testing.assert_allclose(merged.numpy(), reference(base, runs, weights, density), atol=1e-5)


def test_the_share_is_of_the_whole_tensor(build: Build, put: Put) -> None:
    learned = torch.ones(SPAN + 10)
    learned[-10:] = 2.0  # in the second part
    [origin] = put(torch.zeros(SPAN + 10))
    merged = build("ties", density=10 / (SPAN + 10)).merge("x", put(learned), [1.0], origin)
    assert merged.count_nonzero() == 10
    assert merged[-10:].tolist() == [2.0] * 10
