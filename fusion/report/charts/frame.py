"""The grid, ticks and titles around a plane of two axes."""

from markupsafe import Markup

from fusion.report.charts.axis import Axis
from fusion.report.charts.svg import line, text
from fusion.report.numbers import brief


def frame(
    xs: Axis, ys: Axis, x: str, y: str, left: float, right: float, top: float, floor: float
) -> list[Markup]:
    """Return the marks of a plane between `left` and `right`, whose titles are x and, above `top`, y."""
    marks = [text(left - 40, top, y, class_="soft")]
    for tick in ys.ticks():
        marks.append(line(left, ys(tick), right, ys(tick), class_="grid"))
        marks.append(text(left - 8, ys(tick) + 4, brief(tick), text_anchor="end"))
    for tick in xs.ticks():
        marks.append(text(xs(tick), floor + 17, brief(tick), text_anchor="middle"))
    marks.append(line(left, floor, right, floor, class_="axis"))
    marks.append(text((left + right) / 2, floor + 35, x, text_anchor="middle", class_="soft"))
    return marks
