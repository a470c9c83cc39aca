"""Draw points in a plane, coloured by class and shaped by modality."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from markupsafe import Markup

from fusion.report.charts.svg import GLYPH, colour, drawing, element, legend, shortened, text

# outlines of about equal area around (0, 0); a ninth modality begins again
SHAPES = (
    "M-3.3-3.3h6.6v6.6h-6.6z",  # square
    "M0-4.9L4.7 3.4H-4.7z",  # triangle
    "M-3.8 0a3.8 3.8 0 1 0 7.6 0a3.8 3.8 0 1 0-7.6 0z",  # disc
    "M-1.5-4.7h3v3.2h3.2v3h-3.2v3.2h-3v-3.2h-3.2v-3h3.2z",  # cross
    "M0-5.4L3.7 0L0 5.4L-3.7 0z",  # kite
    "M0 4.9L4.7-3.4H-4.7z",  # triangle on its tip
    "M0-5.8L1.5-1.8L5.5-1.7L2.4.8L3.4 4.7L0 2.4L-3.4 4.7L-2.4.8L-5.5-1.7L-1.5-1.8z",  # star
    "M-5.4-1.9h10.8v3.8h-10.8z",  # bar
)
MARGIN = 20.0
NAMED = 24  # with more classes their names would hide the points
WIDTH = 640


class Point(NamedTuple):
    """One row: its place, the name of its class (empty where it has none) and its modality."""

    x: float
    y: float
    group: str
    kind: str


def scatter(points: Sequence[Point], *, groups: Sequence[str], kinds: Sequence[str], label: str) -> Markup:
    """Return the plane, each class named on it once, above the legends of `kinds` and `groups`."""
    low_x, low_y = min(p.x for p in points), min(p.y for p in points)
    wide, high = max(p.x for p in points) - low_x, max(p.y for p in points) - low_y
    scale = (WIDTH - 2 * MARGIN) / max(wide, high / 0.8, 1e-9)  # one for both axes: distances stay true
    height = high * scale + 2 * MARGIN
    places = [(MARGIN + (p.x - low_x) * scale, height - MARGIN - (p.y - low_y) * scale) for p in points]
    sizes = Counter(point.kind for point in points)
    left = (WIDTH - 2 * MARGIN - wide * scale) / 2
    marks = [
        element(
            "path",
            element("title", ", ".join(filter(None, (p.group, p.kind)))),
            d=SHAPES[kinds.index(p.kind) % len(SHAPES)],
            transform=f"translate({x + left:.1f} {y:.1f}){_grown(p.kind, sizes)}",
            class_=f"point {_ink(groups, p.group)}",
        )
        for p, (x, y) in sorted(zip(points, places, strict=True), key=lambda pair: _layer(pair[0], sizes))
    ]
    named = [group for group in groups if group] if len(groups) <= NAMED else []
    centres = {
        group: _place([place for p, place in zip(points, places, strict=True) if p.group == group])
        for group in named
    }
    for group, (x, y) in _apart(centres).items():
        marks.append(text(x + left, y, shortened(group, 14), text_anchor="middle", class_="halo"))
    return drawing(WIDTH, height, label, *marks, least=0.53) + _legends(groups, kinds)


def _layer(point: Point, sizes: Mapping[str, int]) -> tuple[bool, int]:
    """Draw rows of no class first and the rarest modality last, or it would be covered."""
    return point.group != "", -sizes[point.kind]


def _grown(kind: str, sizes: Mapping[str, int]) -> str:
    """Draw a modality of few points larger, or they would be lost among the others."""
    return " scale(1.5)" if sizes[kind] < max(sizes.values()) / 4 else ""


def _ink(groups: Sequence[str], group: str) -> str:
    return colour(groups.index(group)) if group else "plain"


def _place(places: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return where a class's name goes: above its middle, which often is where its text lies."""
    upper = sorted(y for _, y in places)[len(places) // 4]
    return median(x for x, _ in places), upper - 12


def _apart(centres: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Push names that would overlap down, one line at a time."""
    placed: dict[str, tuple[float, float]] = {}
    for group, (x, y) in sorted(centres.items(), key=lambda item: item[1][1]):
        baseline = y + 4
        for other, (there, level) in placed.items():
            overlap = (len(shortened(group, 14)) + len(shortened(other, 14))) * GLYPH * 0.6
            if abs(x - there) < overlap and abs(baseline - level) < 15:
                baseline = level + 15
        placed[group] = (x, baseline)
    return placed


def _legends(groups: Sequence[str], kinds: Sequence[str]) -> Markup:
    shapes = [
        (element("path", d=SHAPES[n % len(SHAPES)], class_="plain"), kind) for n, kind in enumerate(kinds)
    ]
    dots = [(element("circle", r=5, class_=_ink(groups, group)), group) for group in groups if group]
    return legend(shapes) + (legend(dots) if dots else Markup(""))
