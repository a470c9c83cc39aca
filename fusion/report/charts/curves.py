"""Draw curves over training steps."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from markupsafe import Markup

from fusion.report.charts.axis import Axis, axis, linear_ticks
from fusion.report.charts.svg import GLYPH, colour, drawing, element, legend, line, text
from fusion.report.charts.thin import Points, thin, trend
from fusion.report.numbers import brief, plain

SMOOTHED = 120  # from so many points on, a mean is drawn over noisy steps
LEFT, RIGHT, TOP, BOTTOM = 52.0, 14.0, 12.0, 40.0
WIDTH, HEIGHT = 480, 250


class Curve(NamedTuple):
    """One line: (step, value) in order of steps, every value finite."""

    name: str
    points: Points


def curves(series: Sequence[Curve], *, label: str, decades: bool = True) -> Markup:
    """Return a line chart; with `decades` its y axis is logarithmic where values span two of them."""
    steps = [step for curve in series for step, _ in curve.points]
    xs = Axis(min(steps), max(max(steps), min(steps) + 1), LEFT, WIDTH - RIGHT)
    values = [value for curve in series for _, value in curve.points]
    ys = axis(values, HEIGHT - BOTTOM, TOP, zero=True, decades=decades)
    noisy = any(_noisy(curve.points, ys) for curve in series)  # one look for all that share a chart
    lines = [mark for number, curve in enumerate(series) for mark in _curve(curve, number, xs, ys, noisy)]
    chart = drawing(WIDTH, HEIGHT, label, *_grid(xs, ys), *lines)
    if len(series) == 1:
        return chart
    swatches = [line(-8, 0, 8, 0, class_=f"curve {_ink(number)}") for number in range(len(series))]
    names = [curve.name for curve in series]
    return chart + legend(list(zip(swatches, names, strict=True)))


def _ink(number: int) -> str:
    return "ink" if number == 0 else colour(number - 1)


def _curve(curve: Curve, number: int, xs: Axis, ys: Axis, noisy: bool) -> list[Markup]:
    values = [value for _, value in curve.points]
    title = element(
        "title",
        f"{curve.name}: first {plain(values[0])}, last {plain(values[-1])}, lowest {plain(min(values))}",
    )
    if len(curve.points) == 1:
        ((step, value),) = curve.points
        return [element("circle", title, cx=xs(step), cy=ys(value), r=3, class_=f"dot {_ink(number)}")]
    if not noisy:
        return [_path(thin(curve.points), xs, ys, f"curve {_ink(number)}", title)]
    return [
        _path(thin(curve.points), xs, ys, f"curve faint {_ink(number)}"),
        _path(trend(curve.points), xs, ys, f"curve {_ink(number)}", title),
    ]


def _noisy(points: Points, ys: Axis) -> bool:
    """Whether the single steps go up and down, as drawn, far more than their mean does."""
    return len(points) >= SMOOTHED and _travel(points, ys) > 3 * _travel(trend(points), ys)


def _travel(points: Points, ys: Axis) -> float:
    return sum(abs(ys(after) - ys(before)) for (_, before), (_, after) in pairwise(points))


def _path(points: Points, xs: Axis, ys: Axis, class_: str, *children: Markup) -> Markup:
    where = " ".join(f"{xs(step):.1f},{ys(value):.1f}" for step, value in points)
    return element("polyline", *children, points=where, class_=class_)


def _grid(xs: Axis, ys: Axis) -> list[Markup]:
    floor = HEIGHT - BOTTOM
    marks = []
    for tick in ys.ticks():
        marks.append(line(LEFT, ys(tick), WIDTH - RIGHT, ys(tick), class_="grid"))
        marks.append(text(LEFT - 8, ys(tick) + 4, brief(tick), text_anchor="end"))
    for tick in linear_ticks(xs.low, xs.high, 6):
        if tick == round(tick):
            half = len(brief(tick)) * GLYPH / 2
            marks.append(text(min(xs(tick), WIDTH - half), floor + 17, brief(tick), text_anchor="middle"))
    marks.append(line(LEFT, floor, WIDTH - RIGHT, floor, class_="axis"))
    marks.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, "step", text_anchor="middle", class_="soft"))
    if ys.log:
        marks.append(text(WIDTH - RIGHT, TOP + 4, "log scale", text_anchor="end", class_="soft"))
    return marks
