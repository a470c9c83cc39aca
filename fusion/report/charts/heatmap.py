"""Draw a matrix of shaded cells with their values in them."""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from fusion.report.charts.svg import GLYPH, drawing, element, shortened, text

DEEP = 0.72  # from here on white is easier to read than ink


class Cell(NamedTuple):
    """One cell: how dark it is in 0..1, what is written in it, and what a pointer over it reads."""

    shade: float
    text: str
    title: str
    mark: str = ""  # a second line; the cell is framed


def heatmap(
    cells: Sequence[Sequence[Cell | None]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    row_title: str,
    column_title: str,
    label: str,
    size: tuple[float, float] = (34, 30),
) -> Markup:
    """Return the matrix with its labels; None leaves a cell empty. `size` is a cell's width and height."""
    wide, high = size
    names = [shortened(name, 18) for name in columns]
    slanted = max(len(name) for name in names) * GLYPH > wide - 4
    slant = max(len(name) for name in names) * GLYPH * 0.72 if slanted else 0.0
    left = 30 + max(len(shortened(name, 18)) for name in rows) * GLYPH
    top = 34 + (slant + 4 if slanted else 8)
    # the last slanted label leans out over the right edge
    width, height = left + wide * len(columns) + max(6.0, slant - wide / 2), top + high * len(rows) + 4
    middle = top + high * len(rows) / 2
    marks = [
        text(left + wide * len(columns) / 2, 13, column_title, text_anchor="middle", class_="soft"),
        text(
            0,
            0,
            row_title,
            text_anchor="middle",
            class_="soft",
            transform=f"translate(12 {middle:.1f}) rotate(-90)",
        ),
    ]
    for number, name in enumerate(names):
        x = left + wide * (number + 0.5)
        if slanted:
            place = f"translate({x - 2:.1f} {top - 8:.1f}) rotate(-45)"
            marks.append(text(0, 0, name, transform=place))
        else:
            marks.append(text(x, top - 8, name, text_anchor="middle"))
    for number, name in enumerate(rows):
        y = top + high * (number + 0.5) + 4
        marks.append(text(left - 8, y, shortened(name, 18), text_anchor="end"))
    for down, line in enumerate(cells):
        for across, cell in enumerate(line):
            marks.append(_cell(cell, left + wide * across, top + high * down, wide, high))
    return drawing(width, height, label, *marks)


def _cell(cell: Cell | None, x: float, y: float, wide: float, high: float) -> Markup:
    box = {"x": x + 1, "y": y + 1, "width": wide - 2, "height": high - 2, "rx": 3}
    if cell is None:
        return element("rect", **box, class_="none")
    marks = [element("title", cell.title), element("rect", **box, class_="none")]
    if cell.shade > 0:
        marks.append(element("rect", **box, class_="heat", fill_opacity=max(cell.shade, 0.04)))
    if cell.mark:
        inner = {"x": x + 3.5, "y": y + 3.5, "width": wide - 7, "height": high - 7, "rx": 2}
        marks.append(element("rect", **inner, class_="frame deep" if cell.shade > DEEP else "frame"))
    ink = "deep" if cell.shade > DEEP else "flat"
    centre: dict[str, str | float] = {"x": x + wide / 2, "text_anchor": "middle"}
    if cell.text:
        marks.append(
            element(
                "text", cell.text, **centre, y=y + high / 2 + (-2 if cell.mark else 4), class_=f"value {ink}"
            )
        )
    if cell.mark:
        marks.append(element("text", cell.mark, **centre, y=y + high / 2 + 13, class_=f"small {ink}"))
    return element("g", *marks)
