"""Thinned curves keep their shape."""

from itertools import pairwise

from fusion.report.charts.thin import thin, trend


def test_few_points_are_all_kept():
    points = [(1.0, 3.0), (2.0, 1.0), (5.0, 2.0)]
    assert thin(points) == points


def test_thinning_keeps_the_extremes_and_the_order():
    points = [(float(step), 1.0) for step in range(100_000)]
    points[31_415] = (31_415.0, 99.0)
    points[31_416] = (31_416.0, -99.0)
    kept = thin(points, 500)
    assert 2 <= len(kept) <= 500
    assert {(31_415.0, 99.0), (31_416.0, -99.0)} <= set(kept)
    assert all(before[0] < after[0] for before, after in pairwise(kept))


def test_a_trend_is_the_mean_of_stretches():
    points = [(0.0, 1.0), (1.0, 3.0), (2.0, 10.0), (3.0, 20.0)]
    assert trend(points, 2) == [(0.5, 2.0), (2.5, 15.0)]


def test_a_trend_has_no_more_parts_than_points():
    assert trend([(1.0, 2.0)], 60) == [(1.0, 2.0)]
