"""Build SVG elements: well-formed and escaped by construction."""

from collections.abc import Sequence

from markupsafe import Markup, escape

COLOURS = 12  # style.css defines --k0 .. --k11
GLYPH = 7.4  # width of a letter at the charts' 12 px in DejaVu Sans, the widest of the usual system fonts


def element(tag: str, *children: str | Markup, **attributes: str | float) -> Markup:
    """Return one element. `stroke_width` becomes `stroke-width`, `class_` becomes `class`."""
    written = Markup("").join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), _number(value))
        for name, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(tag, written, Markup("").join(children))


def drawing(width: float, height: float, label: str, *children: Markup, least: float = 0.7) -> Markup:
    """Return a whole chart: never wider than drawn, and shrinking to `least` of it before it scrolls."""
    return element(
        "svg",
        element("title", label),
        *children,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_number(width)} {_number(height)}",
        role="img",
        aria_label=label,
        width=width,
        height=height,
        style=f"min-width:{_number(width * least)}px",
    )


def text(x: float, y: float, content: str, **attributes: str | float) -> Markup:
    return element("text", content, x=x, y=y, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, **attributes: str | float) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **attributes)


def legend(entries: Sequence[tuple[Markup, str]]) -> Markup:
    """Return a list of swatches with their names; it wraps like text."""
    items = [
        element(
            "li",
            element("svg", swatch, viewBox="-8 -8 16 16", width=14, height=14, aria_hidden="true"),
            escape(name),
        )
        for swatch, name in entries
    ]
    return element("ul", *items, class_="legend")


def colour(index: int) -> str:
    """Return the class that paints with the palette's colour; after the last it begins again."""
    return f"k{index % COLOURS}"


def shortened(label: str, characters: int = 22) -> str:
    return label if len(label) <= characters else label[: characters - 1] + "…"


def _number(value: str | float) -> str:
    return value if isinstance(value, str) else f"{round(value, 2):g}"
