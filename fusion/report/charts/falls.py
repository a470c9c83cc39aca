"""Draw how a number falls as something gets worse, each line beside the level that it should stay above."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from fusion.report.charts.axis import Axis, axis
from fusion.report.charts.bands import INKS
from fusion.report.charts.svg import colour, drawing, element, legend, line, text
from fusion.report.numbers import brief

LEFT, RIGHT, TOP, BOTTOM = 60.0, 20.0, 14.0, 42.0
DASHES = "5 4"
WIDTH, HEIGHT = 480, 270


class Step(NamedTuple):
    """One place of a line."""

    x: float
    y: float
    title: str


class Fall(NamedTuple):
    """One line, its places in order; `level` is drawn dashed, in its colour."""

    name: str
    steps: Sequence[Step]
    level: float | None = None


def falls(
    series: Sequence[Fall],
    *,
    label: str,
    axis_name: str,
    level_name: str,
    write: Callable[[float], str],
) -> Markup:
    """Return a line chart; the first line is drawn last, over the others."""
    floor = HEIGHT - BOTTOM
    amounts = sorted({step.x for fall in series for step in fall.steps})
    levels = [fall.level for fall in series if fall.level is not None]
    xs = axis(amounts, LEFT, WIDTH - RIGHT, decades=False)
    ys = axis([*levels, *(step.y for fall in series for step in fall.steps)], floor, TOP, decades=False)
    marks = []
    for tick in ys.ticks():
        marks.append(line(LEFT, ys(tick), WIDTH - RIGHT, ys(tick), class_="grid"))
        marks.append(text(LEFT - 8, ys(tick) + 4, write(tick).replace(".0 %", " %"), text_anchor="end"))
    for amount in amounts:
        marks.append(text(xs(amount), floor + 18, brief(amount), text_anchor="middle"))
    marks.append(line(LEFT, floor, WIDTH - RIGHT, floor, class_="axis"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    marks.append(text(middle, HEIGHT - 5, axis_name, text_anchor="middle", class_="soft"))
    inked = [(fall, colour(INKS[number % len(INKS)])) for number, fall in enumerate(series)]
    for fall, ink in reversed(inked):
        marks += _fall(fall, ink, xs, ys, WIDTH - RIGHT)
    swatches = [(line(-8, 0, 8, 0, class_=f"curve {ink}"), fall.name) for fall, ink in inked]
    if levels:
        dashes = line(-8, 0, 8, 0, class_="curve ink", stroke_dasharray="4 3")
        swatches.append((dashes, level_name))
    return drawing(WIDTH, HEIGHT, label, *marks) + legend(swatches)


def _fall(fall: Fall, ink: str, xs: Axis, ys: Axis, right: float) -> list[Markup]:
    points = " ".join(f"{xs(step.x):.1f},{ys(step.y):.1f}" for step in fall.steps)
    marks = [element("polyline", points=points, class_=f"curve {ink}")]
    if fall.level is not None:
        at = ys(fall.level)
        marks.insert(0, line(LEFT, at, right, at, class_=f"curve {ink}", stroke_dasharray=DASHES))
    for step in fall.steps:
        title = element("title", step.title)
        marks.append(element("circle", title, cx=xs(step.x), cy=ys(step.y), r=3.5, class_=f"dot {ink}"))
    return marks
