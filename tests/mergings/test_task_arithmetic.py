"""Sums of what runs have learned."""

from collections.abc import Callable

import pytest

from fusion import Merging, Stored

Put = Callable[..., list[Stored]]
Build = Callable[..., Merging]


def test_what_runs_have_learned_is_added_to_the_base(build: Build, put: Put) -> None:
    base, one, other = put([1.0, 1.0, 1.0], [2.0, 1.0, 3.0], [1.0, -1.0, 2.0])
    add = build("task-arithmetic")
    assert add.merge("x", [one, other], [1.0, 1.0], base).tolist() == [2, -1, 4]
    assert add.merge("x", [one, other], [0.5, 0.25], base).tolist() == [1.5, 0.5, 2.25]
    assert add.merge("x", [one], [-1.0], base).tolist() == [0, 1, -1]  # forget it
    assert add.merge("x", [one, other], [0.0, 1.0], base).tolist() == [1, -1, 2]


def test_a_single_weight_is_that_of_all_runs(build: Build) -> None:
    for name in ("task-arithmetic", "dare"):
        assert build(name).weigh([], 3) == [0.4] * 3
        assert build(name).weigh([0.7], 3) == [0.7] * 3
        assert build(name).weigh([0.7, -1.0, 0.0], 3) == [0.7, -1.0, 0.0]
        with pytest.raises(ValueError, match="give one number for all 3 runs, or one for each"):
            build(name).weigh([1.0, 2.0], 3)
        with pytest.raises(ValueError, match="weights are inf; give one number"):
            build(name).weigh([float("inf")], 3)
