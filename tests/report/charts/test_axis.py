"""Axes hold their values and have round ticks."""

import pytest

from fusion.report.charts.axis import Axis, axis, linear_ticks, log_ticks


def test_ticks_are_round_and_within():
    assert linear_ticks(0, 1, 4) == [0, 0.5, 1]
    assert linear_ticks(0.02, 0.11) == [0.02, 0.04, 0.06, 0.08, 0.1]
    assert linear_ticks(1, 400, 6) == [100, 200, 300, 400]
    assert linear_ticks(-3, 3) == [-2, 0, 2]


def test_log_ticks_are_powers_of_ten():
    assert log_ticks(0.005, 20) == [0.01, 0.1, 1, 10]
    assert 2 <= len(log_ticks(1e-12, 1e12)) <= 9


def test_an_axis_is_logarithmic_from_two_decades_on():
    assert axis([1, 100], 0, 10).log
    assert not axis([1, 99], 0, 10).log
    assert not axis([0, 1000], 0, 10).log


def test_a_logarithmic_axis_puts_the_geometric_mean_in_the_middle():
    assert Axis(1, 100, 0, 200, log=True)(10) == pytest.approx(100)


def test_equal_values_still_have_room():
    assert axis([2.0, 2.0], 0, 10)(2.0) == pytest.approx(5)
    assert axis([0.0], 0, 10)(0.0) == pytest.approx(5)
