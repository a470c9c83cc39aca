"""Numbers read the way people write them."""

import pytest

from fusion.report import numbers


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("hit@1", 0.974, "97.4 %"),
        ("digit/accuracy", 1.0, "100.0 %"),
        ("accuracy", 0, "0.0 %"),
        ("mrr", 0.97412, "0.9741"),
        ("mae", 1234.5, "1,234"),
        ("rows", 12345, "12,345"),
        ("emergent", True, "yes"),
        ("accuracy", None, "–"),  # noqa: RUF001
        ("accuracy", float("nan"), "nan"),
        ("device", "cpu", "cpu"),
    ],
)
def test_a_value_is_written_by_the_kind_of_its_metric(metric, value, text):
    assert numbers.written(metric, value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(3.14159, "3.14 s"), (83.4, "1 min 23 s"), (59.96, "1 min 0 s"), (7384, "2 h 3 min")]
)
def test_seconds_become_minutes_and_hours(value, text):
    assert numbers.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (20_000, "20k"), (3e6, "3M"), (0.0005, "5e-4"), (0.05, "0.05")]
)
def test_labels_of_an_axis_are_brief(value, text):
    assert numbers.brief(value) == text


def test_differences_of_shares_are_points_with_a_sign():
    assert numbers.points(0.012) == "+1.2"
    assert numbers.points(-0.012) == "−1.2"  # noqa: RUF001
