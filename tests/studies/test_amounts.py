"""What a version needs to be as good as the baseline is what the formula gives by hand."""

from collections.abc import Callable

import pytest

from fusion.studies.amounts import Need, need, needs, table
from fusion.studies.compare import Comparison
from fusion.studies.names import amount_axis

Compared = Callable[..., Comparison]
LIMIT = "sources.train.limit"


@pytest.fixture
def over_limits(compared: Compared) -> Comparison:
    curves = {"scratch": [0.3, 0.5, 0.7], "transfer": [0.4, 0.6, 0.65], "frozen": [0.8, 0.8, 0.8]}
    limits = (10, 100, 1000)
    versions = {
        (name, f"limit={limit}"): [value - 0.1, value + 0.1]
        for name, curve in curves.items()
        for limit, value in zip(limits, curve, strict=True)
    }
    amounts = {parts: float(parts[1].partition("=")[2]) for parts in versions}
    return compared(versions, amounts, baseline="scratch")


def test_between_two_points_it_is_linear_in_the_logarithm() -> None:
    # half of the way from 0.4 to 0.6 is half of the way from log 10 to log 1000
    assert need([(10, 0.4), (1000, 0.6)], 0.5) == Need("", pytest.approx(100))
    # a quarter of the way
    assert need([(1, 0.0), (10_000, 0.8), (100_000, 0.9)], 0.2) == Need("", pytest.approx(10))


def test_the_first_point_may_be_enough_and_the_last_may_not() -> None:
    assert need([(10, 0.4), (100, 0.6)], 0.4) == Need("≤", 10)
    assert need([(10, 0.4), (100, 0.6)], 0.61) == Need(">", 100)
    assert str(Need(">", 1000)) == ">1,000"
    assert str(Need("", 31.6)) == "32"


def test_a_curve_that_falls_needs_the_first_crossing() -> None:
    assert need([(10, 0.2), (100, 0.6), (1000, 0.3)], 0.4).amount == pytest.approx(10**1.5)


def test_each_version_is_told_for_each_amount_of_the_baseline(over_limits: Comparison) -> None:
    found = needs(over_limits, LIMIT)
    assert found.keys() == {"transfer", "frozen"}
    transfer = found["transfer"]
    assert transfer[10] == Need("≤", 10)  # 0.3 is below 0.4
    assert transfer[100].amount == pytest.approx(10**1.5)  # 0.5 is half of the way from 0.4 to 0.6
    assert transfer[1000] == Need(">", 1000)  # 0.7 is above 0.65
    assert set(map(str, found["frozen"].values())) == {"≤10"}
    [shown] = table(over_limits, LIMIT)
    assert shown.columns == ["version", "baseline at 10", "baseline at 100", "baseline at 1,000"]
    assert shown.rows == [["transfer", "≤10", "32", ">1,000"], ["frozen", "≤10", "≤10", "≤10"]]


def test_less_of_an_error_is_reached_from_above(compared: Compared) -> None:
    key = "subsets/image/mae"
    values = {"scratch": [4.0, 2.0], "transfer": [3.0, 1.0]}
    versions = {
        (name, f"limit={limit}"): [{key: value}]
        for name, curve in values.items()
        for limit, value in zip((10, 1000), curve, strict=True)
    }
    amounts = {parts: float(parts[1].partition("=")[2]) for parts in versions}
    found = needs(compared(versions, amounts), LIMIT)
    assert found["transfer"][10] == Need("≤", 10)
    assert found["transfer"][1000].amount == pytest.approx(100)  # half of the way from 3 to 1


def test_only_rows_and_steps_are_something_to_need_less_of(over_limits: Comparison) -> None:
    assert needs(over_limits, "train.lr") == {}
    assert needs(over_limits, None) == {}
    assert needs(over_limits, "train.steps")


def test_the_axis_is_of_numbers_and_first_of_rows_or_steps() -> None:
    assert amount_axis({"train.lr": [0.1, 0.2], LIMIT: [1, 2]}) == LIMIT
    assert amount_axis({"train.lr": [0.1, 0.2]}) == "train.lr"
    assert amount_axis({LIMIT: [10]}) is None
    assert amount_axis({"a": [True, False], "b": [1, None], "c": ["x", "y"]}) is None
