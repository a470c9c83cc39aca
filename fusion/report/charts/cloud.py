"""Draw dots in a plane of two axes, one of which may be logarithmic."""

from collections.abc import Sequence

from markupsafe import Markup

from fusion.report.charts.axis import Axis, axis
from fusion.report.charts.frame import frame
from fusion.report.charts.plane import BOTTOM, LEFT, RIGHT, TOP, Stop
from fusion.report.charts.svg import drawing, element


def cloud(
    dots: Sequence[Stop],
    *,
    x: str,
    y: str,
    label: str,
    log: bool = False,
    best: int | None = None,
    width: float = 480,
    height: float = 260,
) -> Markup:
    """Return a dot for each, between axes with these titles; that of number `best` is marked."""
    floor = height - BOTTOM
    places = [dot.x for dot in dots]
    xs = axis(places, LEFT, width - RIGHT, decades=False)
    if log and max(places) >= 10 * min(places):  # in less than a decade there is hardly a power of ten
        xs = Axis(min(places) / 1.15, max(places) * 1.15, LEFT, width - RIGHT, log=True)
    ys = axis([dot.y for dot in dots], floor, TOP, decades=False)
    marks = frame(xs, ys, x, y, LEFT, width - RIGHT, TOP - 18, floor)
    for number, dot in enumerate(dots):
        told, ink = element("title", dot.title), "bar" if number == best else "single"
        size = 5.5 if number == best else 3.5
        marks.append(element("circle", told, cx=xs(dot.x), cy=ys(dot.y), r=size, class_=ink))
    return drawing(width, height, label, *marks)
