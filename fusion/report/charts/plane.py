"""Draw a way through the plane of two metrics."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from fusion.report.charts.axis import axis
from fusion.report.charts.frame import frame
from fusion.report.charts.svg import drawing, element, text

LEFT, RIGHT, TOP, BOTTOM = 52.0, 24.0, 34.0, 40.0
WIDTH, HEIGHT = 480, 320


class Stop(NamedTuple):
    """One point of the way; its name is written beside the dot, if it has one."""

    x: float
    y: float
    name: str
    title: str


def way(stops: Sequence[Stop], *, x: str, y: str, label: str) -> Markup:
    """Return the stops in their order, joined by a line, between axes with these titles."""
    floor = HEIGHT - BOTTOM
    xs = axis([stop.x for stop in stops], LEFT, WIDTH - RIGHT, decades=False)
    ys = axis([stop.y for stop in stops], floor, TOP, decades=False)
    marks = frame(xs, ys, x, y, LEFT, WIDTH - RIGHT, TOP - 18, floor)
    where = " ".join(f"{xs(stop.x):.1f},{ys(stop.y):.1f}" for stop in stops)
    marks.append(element("polyline", points=where, class_="curve k0"))
    for stop in stops:
        dot = element("title", stop.title)
        marks.append(element("circle", dot, cx=xs(stop.x), cy=ys(stop.y), r=3.5, class_="dot k0"))
        marks.append(text(xs(stop.x) + 6, ys(stop.y) - 6, stop.name))
    return drawing(WIDTH, HEIGHT, label, *marks)
