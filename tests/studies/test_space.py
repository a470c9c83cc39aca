"""Where a search looks follows from its seed and its results, and what mattered is what was put in."""

import math
import sys
from statistics import mean

import numpy as np
import pytest

from fusion import RunError
from fusion.recipe.axis import Axis, Range
from fusion.studies.space import Result, Values, importance, propose

AXES: dict[str, Axis] = {
    "train.lr": Range(1e-4, 1e-1, whole=False, log=True),
    "width": Range(16, 64, whole=True, log=False),
    "fuser": [{"name": "gate"}, {"name": "attend", "heads": 2}, "mean"],
}


def searched(count: int, seed: int = 0) -> list[Result]:
    """Search for the learning rate 1e-3; nothing else matters."""
    results: list[Result] = []
    for _ in range(count):
        values = propose(AXES, seed, results, [result.values for result in results])
        assert values is not None
        results.append(Result(values, -abs(math.log10(values["train.lr"]) + 3)))
    return results


def test_a_search_is_a_function_of_its_seed() -> None:
    assert searched(12) == searched(12)
    assert searched(1, seed=1) != searched(1, seed=0)


def test_a_search_that_goes_on_looks_where_it_would_have_looked() -> None:
    whole = searched(14)
    after = propose(AXES, 0, whole[:13], [result.values for result in whole[:13]])
    assert after == whole[13].values


def test_it_looks_on_the_axes_only() -> None:
    found = [result.values for result in searched(20)]
    assert all(1e-4 <= values["train.lr"] <= 1e-1 for values in found)
    assert all(isinstance(values["width"], int) and 16 <= values["width"] <= 64 for values in found)
    assert {repr(values["fuser"]) for values in found} == {repr(choice) for choice in AXES["fuser"]}  # type: ignore[union-attr]


def test_after_ten_random_places_it_looks_where_it_was_good() -> None:
    scores = [result.score for result in searched(40)]
    assert mean(scores[-15:]) > mean(scores[:10]) + 0.3  # in decades


def test_no_place_is_looked_at_twice_and_the_last_one_is_the_end() -> None:
    axes: dict[str, Axis] = {"a": [1, 2], "b": ["x", "y"]}
    seen: list[Values] = []
    while (values := propose(axes, 0, [Result(one, 1.0) for one in seen], seen)) is not None:
        seen.append(values)
    assert sorted((one["a"], one["b"]) for one in seen) == [(1, "x"), (1, "y"), (2, "x"), (2, "y")]


def test_what_mattered_has_the_share_of_the_variance_that_it_makes() -> None:
    axes: dict[str, Axis] = {name: Range(0, 1, whole=False, log=False) for name in "abc"}
    places = np.random.default_rng(0).random((150, 3))
    # of the variance of 2a + b, where a and b are independent and alike, a makes 4 / 5 and b 1 / 5
    results = [
        Result(dict(zip("abc", map(float, at), strict=True)), float(2 * at[0] + at[1])) for at in places
    ]
    shares = importance(axes, results)
    assert list(shares)[:2] == ["a", "b"]
    assert shares["a"] == pytest.approx(0.8, abs=0.08)
    assert shares["b"] == pytest.approx(0.2, abs=0.08)
    assert shares["c"] < 0.03
    assert importance(axes, results) == shares


def test_what_mattered_is_not_told_of_few_equal_or_lonely_results() -> None:
    axes: dict[str, Axis] = {"a": [1, 2], "b": [1, 2]}
    places = [{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 1}, {"a": 2, "b": 2}]
    some = [Result(place, float(number)) for number, place in enumerate(places)]
    assert importance(axes, some)
    assert importance(axes, some[:3]) == {}
    assert importance(axes, [Result(place, 1.0) for place in places]) == {}
    assert importance({"a": [1, 2]}, some) == {}


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(RunError, match=r"a search needs optuna: pip install 'fusion-bind\[tune\]'"):
        propose(AXES, 0, [], [])
