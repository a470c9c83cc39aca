"""Draw a short series, one line a channel, without axes."""

from collections.abc import Sequence

from markupsafe import Markup

from fusion.report.charts.axis import Axis
from fusion.report.charts.svg import colour, element


def spark(channels: Sequence[Sequence[float | None]], *, label: str) -> Markup:
    """Return the channels over one another; None breaks a line."""
    values = [value for channel in channels for value in channel if value is not None]
    longest = max((len(channel) for channel in channels), default=0)
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    xs, ys = Axis(0, max(longest - 1, 1), 3, 93), Axis(low, high, 61, 3)
    lines = [
        element("polyline", points=piece, class_=f"thread {colour(number)}")
        for number, channel in enumerate(channels)
        for piece in _pieces(channel, xs, ys)
    ]
    title = element("title", label)
    return element(
        "svg",
        title,
        *lines,
        xmlns="http://www.w3.org/2000/svg",
        viewBox="0 0 96 64",
        role="img",
        aria_label=label,
        class_="spark",
    )


def _pieces(channel: Sequence[float | None], xs: Axis, ys: Axis) -> list[str]:
    pieces: list[list[str]] = [[]]
    for index, value in enumerate(channel):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append(f"{xs(index):.1f},{ys(value):.1f}")
    return [" ".join(piece) for piece in pieces if piece]
