"""Draw means over an amount, each line in a band of one deviation."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from fusion.report.charts.axis import Axis, axis
from fusion.report.charts.svg import colour, drawing, element, legend, line, text
from fusion.report.numbers import brief

INKS = (0, 1, 3, 4, 5, 8, 7, 9, 10, 11)  # of the palette, without reds, which mean a loss
LEFT, RIGHT, TOP, BOTTOM = 60.0, 20.0, 14.0, 42.0
WIDTH, HEIGHT = 560, 320


class Place(NamedTuple):
    """A mean at an amount, and its deviation, zero where there is none."""

    x: float
    mean: float
    deviation: float
    title: str


class Band(NamedTuple):
    """One line, its places in order."""

    name: str
    places: Sequence[Place]


def bands(
    series: Sequence[Band],
    *,
    label: str,
    axis_name: str,
    write: Callable[[float], str],
) -> Markup:
    """Return a line chart; the axis of amounts is logarithmic where they span a decade or more."""
    amounts = sorted({place.x for band in series for place in band.places})
    log = amounts[0] > 0 and amounts[-1] / amounts[0] >= 10
    margin = (amounts[-1] / amounts[0]) ** 0.04 if log else 0.04 * (amounts[-1] - amounts[0])
    low, high = (
        (amounts[0] / margin, amounts[-1] * margin) if log else (amounts[0] - margin, amounts[-1] + margin)
    )
    xs = Axis(low, high, LEFT, WIDTH - RIGHT, log)
    ends = [
        end for band in series for p in band.places for end in (p.mean - p.deviation, p.mean + p.deviation)
    ]
    ys = axis(ends, HEIGHT - BOTTOM, TOP, decades=False)
    floor = HEIGHT - BOTTOM
    marks = []
    for tick in ys.ticks():
        marks.append(line(LEFT, ys(tick), WIDTH - RIGHT, ys(tick), class_="grid"))
        marks.append(text(LEFT - 8, ys(tick) + 4, write(tick), text_anchor="end"))
    shown = -1e9
    for amount in amounts:  # what was tried, as far as there is room
        if xs(amount) - shown > 44:
            shown = xs(amount)
            marks.append(line(shown, floor, shown, floor + 4, class_="axis"))
            marks.append(text(shown, floor + 18, brief(amount), text_anchor="middle"))
    marks.append(line(LEFT, floor, WIDTH - RIGHT, floor, class_="axis"))
    name = f"{axis_name}, log scale" if log else axis_name
    marks.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, name, text_anchor="middle", class_="soft"))
    marks += [_area(band, number, xs, ys) for number, band in enumerate(series)]
    marks += [mark for number, band in enumerate(series) for mark in _line(band, number, xs, ys)]
    swatches = [line(-8, 0, 8, 0, class_=f"curve {_ink(number)}") for number in range(len(series))]
    names = [band.name for band in series]
    return drawing(WIDTH, HEIGHT, label, *marks) + legend(list(zip(swatches, names, strict=True)))


def _ink(number: int) -> str:
    return colour(INKS[number % len(INKS)])


def _area(band: Band, number: int, xs: Axis, ys: Axis) -> Markup:
    upper = [f"{xs(p.x):.1f},{ys(p.mean + p.deviation):.1f}" for p in band.places]
    lower = [f"{xs(p.x):.1f},{ys(p.mean - p.deviation):.1f}" for p in reversed(band.places)]
    return element("polygon", points=" ".join(upper + lower), class_=f"band {_ink(number)}")


def _line(band: Band, number: int, xs: Axis, ys: Axis) -> list[Markup]:
    points = " ".join(f"{xs(p.x):.1f},{ys(p.mean):.1f}" for p in band.places)
    circles = [
        element("circle", element("title", p.title), cx=xs(p.x), cy=ys(p.mean), r=4, class_=_ink(number))
        for p in band.places
    ]
    return [element("polyline", points=points, class_=f"curve {_ink(number)}"), *circles]
