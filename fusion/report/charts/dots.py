"""Draw a mean a row with its deviation and the single values, beside the line of what it is compared with."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from fusion.report.charts.axis import axis, linear_ticks
from fusion.report.charts.svg import GLYPH, drawing, element, line, shortened, text

HIGH, TOP, BOTTOM = 32.0, 8.0, 24.0
LONGEST = 30
WIDTH = 560


class Dot(NamedTuple):
    """A mean, its deviation (None where there is one value), the values and what is written beside them."""

    label: str
    mean: float
    deviation: float | None
    values: Sequence[float]
    written: str
    worse: bool = False


def dots(rows: Sequence[Dot], *, label: str, write: Callable[[float], str], zero: bool = False) -> Markup:
    """Return one line a row: each value faint, the mean with a bar of one deviation to either side.

    With `zero` the axis holds zero, and a line is drawn there.
    """
    ends = [end for dot in rows for end in _ends(dot)] + [0.0] * zero
    left = 12 + max(len(shortened(dot.label, LONGEST)) for dot in rows) * GLYPH
    right = 16 + max(len(dot.written) for dot in rows) * GLYPH
    width = max(WIDTH, left + right + 180)
    height = TOP + HIGH * len(rows) + BOTTOM
    xs = axis(ends, left + 6, width - right, decades=False)
    marks = []
    for tick in linear_ticks(xs.low, xs.high, 6):
        marks.append(line(xs(tick), TOP, xs(tick), height - BOTTOM + 2, class_="grid"))
        marks.append(text(xs(tick), height - 6, write(tick), text_anchor="middle", class_="small soft"))
    if zero:
        marks.append(line(xs(0), TOP, xs(0), height - BOTTOM + 2, class_="axis"))
    for number, dot in enumerate(rows):
        y = TOP + HIGH * (number + 0.5)
        ink = "worse" if dot.worse else "bar"
        low, high = (xs(end) for end in _ends(dot)[:2])
        marks.append(
            element(
                "g",
                element("title", f"{dot.label}: {dot.written}"),
                text(left - 8, y + 4, shortened(dot.label, LONGEST), text_anchor="end"),
                line(low, y, high, y, class_=f"reach {ink}"),
                *(element("circle", cx=xs(value), cy=y, r=2.5, class_="single") for value in dot.values),
                element("circle", cx=xs(dot.mean), cy=y, r=5, class_=ink),
                text(width - 2, y + 4, dot.written, text_anchor="end", class_=f"value {dot.worse * 'worse'}"),
            )
        )
    return drawing(width, height, label, *marks)


def _ends(dot: Dot) -> list[float]:
    """Return the ends of the bar, and all else that has to be on the axis."""
    reach = dot.deviation or 0.0
    return [dot.mean - reach, dot.mean + reach, *dot.values]
