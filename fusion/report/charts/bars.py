"""Draw horizontal bars, each with its number and with a baseline beneath it where there is one."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from fusion.report.charts.axis import Axis, linear_ticks
from fusion.report.charts.svg import GLYPH, drawing, element, legend, line, shortened, text

HIGH, TOP, BOTTOM = 34.0, 6.0, 24.0
WIDTH = 480


class Bar(NamedTuple):
    """One bar; `baseline` is drawn beneath it."""

    label: str
    value: float
    baseline: float | None = None
    title: str = ""


def bars(
    rows: Sequence[Bar],
    *,
    label: str,
    write: Callable[[float], str],
    names: tuple[str, str],
    full: float | None = None,
) -> Markup:
    """Return one bar a row. `names` are those of value and baseline, `full` is where the axis ends."""
    values = [value for bar in rows for value in (bar.value, bar.baseline) if value is not None]
    paired = any(bar.baseline is not None for bar in rows)
    left = 12 + max(len(shortened(bar.label)) for bar in rows) * GLYPH
    right = 14 + max(len(write(value)) for value in values) * GLYPH * 1.1
    height = TOP + HIGH * len(rows) + BOTTOM
    high = full if full is not None else max(0.0, *values) * 1.02
    low = min(0.0, *values)
    xs = Axis(low, high if high > low else low + 1, left, WIDTH - right)
    marks = []
    for tick in linear_ticks(xs.low, xs.high, 4):
        marks.append(line(xs(tick), TOP, xs(tick), height - BOTTOM + 2, class_="grid"))
        marks.append(
            text(
                xs(tick),
                height - 6,
                write(tick).replace(".0 %", " %"),
                text_anchor="middle",
                class_="small soft",
            )
        )
    for number, bar in enumerate(rows):
        marks += _bar(bar, TOP + HIGH * number, xs, write)
    marks.append(line(xs(0), TOP, xs(0), height - BOTTOM + 2, class_="axis"))
    chart = drawing(WIDTH, height, label, *marks)
    if not paired:
        return chart
    swatch = {"x": -8, "y": -4, "width": 16, "height": 8, "rx": 2}
    return chart + legend(
        [
            (element("rect", **swatch, class_=kind), name)
            for kind, name in zip(("bar", "base"), names, strict=True)
        ]
    )


def _bar(bar: Bar, y: float, xs: Axis, write: Callable[[float], str]) -> list[Markup]:
    marks = [element("title", bar.title or f"{bar.label}: {write(bar.value)}")]
    thick, top = (16, y + 9) if bar.baseline is None else (12, y + 5)
    marks.append(text(xs.start - 8, y + 21, shortened(bar.label), text_anchor="end"))
    marks.append(_rect(bar.value, top, thick, xs, "bar"))
    shift = -3 if bar.baseline is not None else 4
    marks.append(text(WIDTH - 2, y + 17 + shift, write(bar.value), text_anchor="end", class_="value"))
    if bar.baseline is not None:
        marks.append(_rect(bar.baseline, top + thick + 2, 8, xs, "base"))
        marks.append(text(WIDTH - 2, y + 28, write(bar.baseline), text_anchor="end", class_="small soft"))
    return [element("g", *marks)]


def _rect(value: float, y: float, thick: float, xs: Axis, class_: str) -> Markup:
    start, stop = sorted((xs(0), xs(value)))
    return element("rect", x=start, y=y, width=max(stop - start, 1), height=thick, rx=2, class_=class_)
