"""Lines that fall, and the levels that they should stay above."""

from xml.etree import ElementTree

import pytest

from fusion.report.charts import Fall, Step, falls
from fusion.report.numbers import share

SERIES = [
    Fall("alone", [Step(0, 0.9, "a & b"), Step(5, 0.1, "<i>")]),
    Fall("fused", [Step(0, 1.0, "c"), Step(5, 0.6, "d")], 0.8),
]


def drawn(series: list[Fall]) -> ElementTree.Element:
    chart = falls(series, label="l", axis_name="severity", level_name="left out", write=share)
    return ElementTree.fromstring(f"<div>{chart}</div>".replace(' xmlns="http://www.w3.org/2000/svg"', ""))


def points(tree: ElementTree.Element) -> list[list[tuple[float, float]]]:
    lines = [line.attrib["points"].split() for line in tree.iter("polyline")]
    return [[tuple(map(float, point.split(","))) for point in line] for line in lines]  # type: ignore[misc]


def test_the_first_line_is_drawn_last_and_places_are_to_scale() -> None:
    tree = drawn(SERIES)
    fused, alone = points(tree)
    [level] = [line for line in tree.iter("line") if line.get("stroke-dasharray") == "5 4"]
    scale = (alone[1][1] - alone[0][1]) / (0.1 - 0.9)  # pixels a unit; down is more
    assert scale < 0
    assert fused[0][1] == pytest.approx(alone[0][1] + scale * 0.1, abs=0.11)
    assert float(level.attrib["y1"]) == pytest.approx(alone[0][1] - scale * 0.1, abs=0.11)
    assert level.attrib["y1"] == level.attrib["y2"]
    assert fused[0][0] == alone[0][0] < fused[1][0] == alone[1][0]


def test_what_is_said_is_escaped_and_levels_are_named_where_there_are_some() -> None:
    titles = [title.text for title in drawn(SERIES).iter("title")]
    assert {"a & b", "<i>", "c", "d", "l"} == set(titles)
    named = ["".join(item.itertext()) for item in drawn(SERIES).iter("li")]
    assert named == ["alone", "fused", "left out"]
    assert ["".join(item.itertext()) for item in drawn(SERIES[:1]).iter("li")] == ["alone"]


def test_one_place_and_equal_values_are_drawn() -> None:
    assert len(points(drawn([Fall("flat", [Step(1, 0.5, "x")])]))) == 1
    assert len(points(drawn([Fall("flat", [Step(0, 1.0, "x"), Step(1, 1.0, "y")], 1.0)]))) == 1
