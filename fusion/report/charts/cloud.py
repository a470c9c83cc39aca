"""Draw dots in a plane of two axes, one of which may be logarithmic."""

from collections.abc import Sequence

from markupsafe import Markup

from fusion.report.charts.axis import Axis, axis
from fusion.report.charts.frame import frame
from fusion.report.charts.plane import BOTTOM, LEFT, RIGHT, TOP, Stop
from fusion.report.charts.svg import drawing, element

WIDTH, HEIGHT = 480, 260


def cloud(
    dots: Sequence[Stop],
    *,
    x: str,
    y: str,
    label: str,
    log: bool = False,
    best: int | None = None,
) -> Markup:
    """Return a dot for each, between axes with these titles; that of number `best` is marked."""
    floor = HEIGHT - BOTTOM
    places = [dot.x for dot in dots]
    xs = axis(places, LEFT, WIDTH - RIGHT, decades=False)
    if log and max(places) >= 10 * min(places):  # in less than a decade there is hardly a power of ten
        xs = Axis(min(places) / 1.15, max(places) * 1.15, LEFT, WIDTH - RIGHT, log=True)
    ys = axis([dot.y for dot in dots], floor, TOP, decades=False)
    marks = frame(xs, ys, x, y, LEFT, WIDTH - RIGHT, TOP - 18, floor)
    for number, dot in enumerate(dots):
        told, ink = element("title", dot.title), "bar" if number == best else "single"
        size = 5.5 if number == best else 3.5
        marks.append(element("circle", told, cx=xs(dot.x), cy=ys(dot.y), r=size, class_=ink))
    return drawing(WIDTH, HEIGHT, label, *marks)
