"""Draw lines through a plane whose axes have titles."""

from collections.abc import Sequence

from markupsafe import Markup

from fusion.report.charts.axis import axis
from fusion.report.charts.curves import Curve
from fusion.report.charts.frame import frame
from fusion.report.charts.svg import colour, drawing, element, legend, line
from fusion.report.numbers import brief

LEFT, RIGHT, TOP, BOTTOM = 52.0, 14.0, 30.0, 40.0
DOTTED = 20  # points up to which each has a dot


def lines(
    series: Sequence[Curve],
    *,
    x: str,
    y: str,
    label: str,
    diagonal: bool = False,
    width: float = 480,
    height: float = 300,
) -> Markup:
    """Return one line a series, its points in order of x; `diagonal` is where both are equal."""
    points = [point for curve in series for point in curve.points]
    floor = height - BOTTOM
    xs = axis([point[0] for point in points], LEFT, width - RIGHT, decades=False)
    ys = axis([point[1] for point in points], floor, TOP, zero=True, decades=False)
    marks = frame(xs, ys, x, y, LEFT, width - RIGHT, TOP - 14, floor)
    if diagonal:
        low, high = max(xs.low, ys.low), min(xs.high, ys.high)
        marks.append(line(xs(low), ys(low), xs(high), ys(high), class_="axis"))
    for number, curve in enumerate(series):
        where = " ".join(f"{xs(at):.1f},{ys(value):.1f}" for at, value in curve.points)
        name = element("title", curve.name)
        marks.append(element("polyline", name, points=where, class_=f"curve {colour(number)}"))
        for at, value in curve.points if len(curve.points) <= DOTTED else ():
            told = element("title", f"{curve.name}: {brief(at)}, {brief(value)}")
            marks.append(
                element("circle", told, cx=xs(at), cy=ys(value), r=3, class_=f"dot {colour(number)}")
            )
    swatches = [line(-8, 0, 8, 0, class_=f"curve {colour(number)}") for number in range(len(series))]
    names = [curve.name for curve in series]
    return drawing(width, height, label, *marks) + legend(list(zip(swatches, names, strict=True)))
