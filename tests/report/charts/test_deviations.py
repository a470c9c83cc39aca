"""Dots and bands show means where they are, with one deviation to either side."""

from xml.etree import ElementTree

import pytest

from fusion.report.charts import Band, Dot, Place, bands, dots
from tests.report.charts.test_charts import EVIL, parsed, svg, texts

DOTS = [
    Dot("scratch", 0.6, 0.1, [0.5, 0.6, 0.7], "60.0 ± 10.0 %"),
    Dot(EVIL, 0.4, None, [0.4], "40.0 %", worse=True),
]
BANDS = [
    Band("scratch", [Place(10, 0.2, 0.1, "a"), Place(100, 0.4, 0.0, "b"), Place(1000, 0.8, 0.1, "x")]),
    Band(EVIL, [Place(10, 0.5, 0.0, "one")]),
]


@pytest.mark.parametrize(
    "markup",
    [dots(DOTS, label=EVIL, write=str), bands(BANDS, label=EVIL, axis_name=EVIL, write=str)],
    ids=["dots", "bands"],
)
def test_a_chart_is_well_formed_named_and_escaped(markup: str) -> None:
    chart = svg(parsed(markup), "svg")[0]
    assert (chart.get("role"), chart.get("aria-label"), chart[0].text) == ("img", EVIL, EVIL)
    assert not svg(parsed(markup), "script")


def _marks(tree: ElementTree.Element, class_: str) -> list[ElementTree.Element]:
    return [mark for mark in tree.iter() if (mark.get("class") or "") == class_]


def test_the_bar_of_a_dot_reaches_one_deviation_to_either_side() -> None:
    tree = parsed(dots(DOTS, label="l", write=str))
    [mean] = _marks(tree, "bar")
    [reach] = _marks(tree, "reach bar")
    low, high = float(reach.get("x1", "")), float(reach.get("x2", ""))
    assert float(mean.get("cx", "")) == pytest.approx((low + high) / 2, abs=0.02)
    singles = [float(mark.get("cx", "")) for mark in _marks(tree, "single")]
    assert singles[:3] == pytest.approx([low, (low + high) / 2, high], abs=0.02)  # 0.5, 0.6 and 0.7
    [other] = _marks(tree, "reach worse")
    assert other.get("x1") == other.get("x2")  # of one value there is no deviation
    assert len(_marks(tree, "worse")) == 1
    assert {"60.0 ± 10.0 %", "40.0 %"} <= set(texts(tree))


def test_zero_is_on_the_axis_of_gains() -> None:
    gains = [Dot("a", 5.0, 1.0, [4.0, 6.0], "+5")]
    [zero] = _marks(parsed(dots(gains, label="l", write=str, zero=True)), "axis")
    assert _marks(parsed(dots(gains, label="l", write=str)), "axis") == []
    [mean] = _marks(parsed(dots(gains, label="l", write=str, zero=True)), "bar")
    assert float(zero.get("x1", "")) < float(mean.get("cx", ""))


def test_decades_of_amounts_are_equally_far_apart() -> None:
    tree = parsed(bands(BANDS[:1], label="l", axis_name="rows", write=str))
    xs = [float(mark.get("cx", "")) for mark in svg(tree, "circle") if mark.get("r") == "4"]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.02)
    assert {"10", "100", "1000", "rows, log scale"} <= set(texts(tree))
    near = [Band("a", [Place(1, 0.2, 0, ""), Place(2, 0.3, 0, ""), Place(3, 0.4, 0, "")])]
    assert "rows" in texts(parsed(bands(near, label="l", axis_name="rows", write=str)))


def test_the_area_of_a_band_is_one_deviation_around_its_means() -> None:
    tree = parsed(bands(BANDS[:1], label="l", axis_name="rows", write=str))
    [area] = svg(tree, "polygon")
    points = [tuple(map(float, pair.split(","))) for pair in area.get("points", "").split()]
    means = [float(mark.get("cy", "")) for mark in svg(tree, "circle") if mark.get("r") == "4"]
    upper, lower = points[:3], points[:2:-1]
    for (_, above), (_, below), mean in zip(upper, lower, means, strict=True):
        assert mean == pytest.approx((above + below) / 2, abs=0.1)
    assert upper[1] == lower[1]  # no deviation
