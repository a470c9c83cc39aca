"""DARE: drop at random, and rescale."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from fusion import Merging, Stored
from fusion.tensors import SPAN

Put = Callable[..., list[Stored]]
Build = Callable[..., Merging]


@pytest.fixture
def origin(put: Put) -> Stored:
    [stored] = put(torch.zeros(4000))
    return stored


def merge(
    dare: Merging, origin: Stored, put: Put, name: str = "x", weights: tuple[float, ...] = (1,)
) -> Tensor:
    return dare.merge(name, put(*[torch.ones(4000)] * len(weights)), weights, origin)


def test_what_stays_is_rescaled_so_that_the_mean_stays(build: Build, put: Put, origin: Stored) -> None:
    merged = merge(build("dare", drop=0.75), origin, put)
    assert set(merged.tolist()) == {0.0, 4.0}
    assert merged.mean().item() == pytest.approx(1, abs=4 * np.sqrt(3 / 4000))  # four deviations


def test_without_dropping_it_is_task_arithmetic(build: Build, put: Put) -> None:
    [base, one, other] = put([1.0, 1.0], [2.0, 0.0], [3.0, 1.0])
    merged = build("dare", drop=0.0).merge("x", [one, other], [0.5, 0.25], base)
    assert merged.tolist() == [2.0, 0.5]


def test_the_draw_depends_on_seed_name_and_run(build: Build, put: Put, origin: Stored) -> None:
    def kept(seed: int, name: str, weights: tuple[float, ...] = (1,)) -> Tensor:
        return merge(build("dare", drop=0.5, seed=seed), origin, put, name, weights) != 0

    same = kept(0, "x")
    assert torch.equal(kept(0, "x"), same)
    assert torch.equal(kept(0, "x", (1, 0)), same)
    for other in (kept(1, "x"), kept(0, "y"), kept(0, "x", (0, 1))):
        assert (other & same).float().mean().item() == pytest.approx(0.25, abs=0.04)  # independent


def test_it_agrees_with_an_independent_reference(build: Build, put: Put) -> None:
    """The masks are read off runs that are merged alone; the formulas are those of the paper."""
    random = np.random.default_rng(0)
    base, *runs = random.standard_normal((4, 60, 70)).astype(np.float32)
    [origin] = put(torch.from_numpy(base))
    stored = put(*map(torch.from_numpy, runs))
    dare = build("dare", drop=0.3, seed=5)
    alone = [dare.merge("w", stored, list(row), origin).numpy() for row in np.eye(3)]
    expected = base.astype(np.float64)
    for weight, run, single in zip((0.5, -0.2, 1.5), runs, alone, strict=True):
        dropped = np.isclose(single, base, atol=1e-12)  # m of equation 3
        assert dropped.mean() == pytest.approx(0.3, abs=0.03)
        expected += weight * (1 - dropped) * (run - base) / (1 - 0.3)
    np.testing.assert_allclose(dare.merge("w", stored, [0.5, -0.2, 1.5], origin).numpy(), expected, atol=1e-5)


def test_parts_of_a_tensor_are_not_dropped_alike(build: Build, put: Put) -> None:
    [origin] = put(torch.zeros(2 * SPAN))
    kept = build("dare", drop=0.5).merge("x", put(torch.ones(2 * SPAN)), [1.0], origin) != 0
    same = kept[:SPAN] == kept[SPAN:]
    assert same.float().mean().item() == pytest.approx(0.5, abs=0.02)
