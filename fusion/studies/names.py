"""What versions are called: by their name and by where they stand on the axes of `over`."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

from fusion.recipe.axis import override

PICKS = ("name", "mode")  # the keys that pick a component, which says enough without its key


class Point(NamedTuple):
    """One value of a dotted path, and its words, such as "limit=100" or "gate"."""

    path: str
    value: Any
    label: str

    @property
    def override(self) -> str:
        return override(self.path, self.value)


class Version(NamedTuple):
    """What is compared: runs that differ in nothing but the seed. `parts` say by what it differs from others.

    `amount` is its place on the axis of amounts, such as 100 of "sources.train.limit"; its words come last.
    """

    parts: tuple[str, ...]
    amount: float | None = None
    compared: bool = True

    @property
    def name(self) -> str:
        return " ".join(self.parts)

    @property
    def line(self) -> str:
        """Its name without the amount."""
        return self.name if self.amount is None else " ".join(self.parts[:-1])

    @property
    def place(self) -> str:
        """Its name as that of a folder."""
        return re.sub(r"[^\w.=+,-]+", "_", "-".join(self.parts)).strip("_")


def version(name: str, points: Sequence[Point], amount: str | None, compared: bool = True) -> Version:
    """Return a version at some points; `amount` is the path whose values are amounts."""
    last = [point for point in points if point.path == amount]
    labels = [point.label for point in points if point.path != amount]
    parts = [part for part in (name, *labels, *(point.label for point in last)) if part]
    return Version(tuple(parts), last[0].value if last else None, compared)


def axes(values: Mapping[str, Sequence[Any]]) -> list[list[Point]]:
    """Return the points of each dotted path, with words that tell the paths apart."""
    return [
        [Point(path, value, label(short(path, values), value)) for value in given]
        for path, given in values.items()
    ]


def amount_axis(values: Mapping[str, Sequence[Any]]) -> str | None:
    """Return the path whose values are drawn along an axis: numbers, first those of rows or steps."""
    numeric = [path for path, given in values.items() if len(given) > 1 and all(map(number, given))]
    return next((path for path in numeric if needed(path)), numeric[0] if numeric else None)


def needed(path: str) -> bool:
    """Whether values of this path are something of which a model may need less: rows or steps."""
    return path.startswith("sources.") or path == "train.steps"


def number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def word(value: Any) -> str:
    """Return a value in a few letters: `{mode: lora, rank: 4}` is "lora,rank=4"."""
    match value:
        case Mapping():
            picked = [word(value[key]) for key in PICKS if key in value]
            return ",".join(picked + [f"{key}={word(of)}" for key, of in value.items() if key not in PICKS])
        case list() | tuple():
            return "+".join(word(part) for part in value)
        case str():
            return value
        case _:
            return json.dumps(value)


def label(end: str, value: Any) -> str:
    """Return the words for a value of a path that ends so, "gate" or "limit=100"."""
    picks = end.rpartition(".")[2] in PICKS or (
        isinstance(value, Mapping) and not value.keys().isdisjoint(PICKS)
    )
    return word(value) if picks else f"{end}={word(value)}"


def short(path: str, paths: Mapping[str, Any]) -> str:
    """Return the end of a path that no other one has."""
    parts = path.split(".")
    for length in range(1, len(parts)):
        end = ".".join(parts[-length:])
        if sum(f".{other}".endswith(f".{end}") for other in paths) == 1:
            return end
    return path
