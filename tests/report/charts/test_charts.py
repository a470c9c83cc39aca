"""Every chart is well-formed SVG that shows its numbers and escapes its labels."""

from xml.etree import ElementTree

import pytest

from fusion.report.charts import (
    Bar,
    Cell,
    Curve,
    Point,
    Stop,
    bars,
    cloud,
    curves,
    heatmap,
    lines,
    scatter,
    spark,
    way,
)
from fusion.report.numbers import share

EVIL = "</svg><script>alert('1')</script>&"


def parsed(markup):
    """Return the chart as a tree, with its legends."""
    return ElementTree.fromstring(f"<div>{markup}</div>")


def svg(tree, tag):
    return tree.findall(f".//{{http://www.w3.org/2000/svg}}{tag}")


def texts(tree):
    return [text.text for text in svg(tree, "text")]


CHARTS = {
    "bars": bars([Bar(EVIL, 0.5, 0.4), Bar("b", 1.0)], label=EVIL, write=share, names=(EVIL, "x")),
    "curves": curves([Curve(EVIL, [(1, 2.0), (2, 1.0)]), Curve("b", [(1, 1.0)])], label=EVIL),
    "heatmap": heatmap(
        [[Cell(1, EVIL, EVIL, EVIL), None]],
        rows=[EVIL],
        columns=[EVIL, "b"],
        row_title=EVIL,
        column_title=EVIL,
        label=EVIL,
    ),
    "lines": lines(
        [Curve(EVIL, [(0, 0.0), (1, 1.0)]), Curve("b", [(0, 0.5)])], x=EVIL, y="b", label=EVIL, diagonal=True
    ),
    "scatter": scatter(
        [Point(0, 0, EVIL, "b"), Point(1, 2, "", EVIL)], groups=[EVIL, ""], kinds=["b", EVIL], label=EVIL
    ),
    "way": way([Stop(0, 0.5, EVIL, EVIL), Stop(1, 0.5, "", "b")], x=EVIL, y="b", label=EVIL),
    "cloud": cloud([Stop(0.1, 0.5, "", EVIL), Stop(10, 0.4, "", "b")], x=EVIL, y="b", label=EVIL, log=True),
    "spark": spark([[1.0, None, 2.0], []], label=EVIL),
}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_well_formed_named_and_escaped(name):
    tree = parsed(CHARTS[name])
    chart = svg(tree, "svg")[0]
    assert chart.get("role") == "img"
    assert chart.get("aria-label") == EVIL
    assert chart[0].text == EVIL  # its <title>
    assert not svg(tree, "script")


def test_lines_lie_on_the_diagonal_where_both_are_equal():
    tree = parsed(lines([Curve("a", [(0.0, 0.0), (0.5, 0.5)])], x="x", y="y", label="l", diagonal=True))
    slope = [
        line
        for line in svg(tree, "line")
        if line.get("x1") != line.get("x2") and line.get("y1") != line.get("y2")
    ]
    assert len(slope) == 1
    ends = [[float(slope[0].get(key)) for key in pair] for pair in (("x1", "y1"), ("x2", "y2"))]
    dots = [[float(dot.get("cx")), float(dot.get("cy"))] for dot in svg(tree, "circle")]
    for x, y in dots:  # on the line through its ends
        (x1, y1), (x2, y2) = ends
        assert abs((y - y1) * (x2 - x1) - (x - x1) * (y2 - y1)) < 1e-2 * abs(x2 - x1)


def test_bars_have_lengths_in_proportion_and_print_their_numbers():
    tree = parsed(
        bars([Bar("a", 0.5), Bar("b", 1.0, 0.25)], label="l", write=share, names=("v", "w"), full=1.0)
    )
    widths = [
        float(mark.get("width")) for mark in svg(tree, "g") for mark in mark if mark.tag.endswith("rect")
    ]
    assert widths[0] == pytest.approx(widths[1] / 2, abs=0.02)
    assert widths[2] == pytest.approx(widths[1] / 4, abs=0.02)
    assert {"50.0 %", "100.0 %", "25.0 %"} <= set(texts(tree))


def test_negative_bars_start_at_zero_too():
    tree = parsed(bars([Bar("a", -1.0), Bar("b", 1.0)], label="l", write=str, names=("v", "w")))
    left, right = [mark for group in svg(tree, "g") for mark in group if mark.tag.endswith("rect")]
    assert float(left.get("x")) + float(left.get("width")) == pytest.approx(float(right.get("x")), abs=0.02)


def test_a_curve_over_many_steps_is_thinned():
    points = [(step, float(step % 7)) for step in range(100_000)]
    lines = svg(parsed(curves([Curve("loss", points)], label="l")), "polyline")
    assert [len(line.get("points").split()) for line in lines] == [500, 60]


def test_a_smooth_curve_is_drawn_once():
    points = [(step, step / 1000) for step in range(1000)]
    assert len(svg(parsed(curves([Curve("lr", points)], label="l")), "polyline")) == 1


def test_a_loss_over_decades_is_on_a_log_scale():
    shown = texts(parsed(curves([Curve("loss", [(1, 10.0), (2, 0.01)])], label="l")))
    assert {"log scale", "10", "0.1", "0.01"} <= set(shown)


def test_a_map_names_each_class_once_and_has_a_shape_for_each_modality():
    kinds = ["image", "text", "audio"]
    points = [Point(x, y, group, kind) for x, group in enumerate("ab") for y, kind in enumerate(kinds)]
    tree = parsed(scatter(points, groups=["a", "b"], kinds=kinds, label="l"))
    marks = [mark for mark in svg(tree, "path") if mark.get("class", "").startswith("point")]
    assert texts(tree) == ["a", "b"]
    assert len(marks) == 6
    assert len({mark.get("d") for mark in marks}) == 3
    assert {mark.get("class") for mark in marks} == {"point k0", "point k1"}


def test_a_map_of_one_point_can_be_drawn():
    assert texts(parsed(scatter([Point(3, 3, "a", "image")], groups=["a"], kinds=["image"], label="l"))) == [
        "a"
    ]


def test_a_gap_breaks_the_line_of_a_series():
    lines = svg(parsed(spark([[1.0, 2.0, None, 3.0, 4.0]], label="l")), "polyline")
    assert len(lines) == 2


def test_a_way_goes_from_stop_to_stop_and_names_those_that_have_a_name():
    stops = [Stop(0.5, 0.2, "0", "first"), Stop(0.75, 0.6, "", "between"), Stop(1.0, 0.4, "1", "last")]
    tree = parsed(way(stops, x="kept", y="gained", label="l"))
    [line] = svg(tree, "polyline")
    (x0, y0), (x1, y1), (x2, y2) = (map(float, place.split(",")) for place in line.get("points").split())
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(2 * (y2 - y1), abs=0.3)  # upwards is more
    assert [mark[0].text for mark in svg(tree, "circle")] == ["first", "between", "last"]
    assert {"kept", "gained", "0", "1"} <= set(texts(tree))


def test_a_cloud_has_equal_factors_equally_far_apart_and_marks_the_best():
    dots = [Stop(0.001, 0.2, "", "low"), Stop(0.01, 0.6, "", "middle"), Stop(0.1, 0.4, "", "high")]
    tree = parsed(cloud(dots, x="rate", y="score", label="l", log=True, best=1))
    marks = svg(tree, "circle")
    x0, x1, x2 = (float(mark.get("cx")) for mark in marks)
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.05)
    y0, y1, y2 = (float(mark.get("cy")) for mark in marks)
    assert y0 - y1 == pytest.approx(2 * (y2 - y1), abs=0.05)
    assert [mark.get("class") for mark in marks] == ["single", "bar", "single"]
    plain = svg(parsed(cloud(dots, x="rate", y="score", label="l")), "circle")
    assert float(plain[1].get("cx")) - float(plain[0].get("cx")) == pytest.approx((x2 - x0) / 11, rel=0.1)
    short = cloud([Stop(2, 0.1, "", ""), Stop(5, 0.3, "", "")], x="rate", y="score", label="l", log=True)
    assert {"2", "3", "4", "5"} <= set(texts(parsed(short)))
