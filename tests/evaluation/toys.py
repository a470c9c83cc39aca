"""Three toy modalities whose vectors are known: a sample names one of three directions, or several."""

from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from fusion import (
    Choices,
    Component,
    DataError,
    Encoder,
    Encoding,
    Model,
    Processor,
    Recipe,
    Registry,
    Stream,
    hookimpl,
)
from fusion.build import build_model
from fusion.picks import complete

COLOURS = ["red", "green", "blue"]


class Direction(Processor):
    """Reads the colours that a text holds, by number or by name, as the sum of their directions."""

    def decode(self, raw: Any) -> Tensor:
        named = [number for number, colour in enumerate(COLOURS) if str(number) in raw or colour in raw]
        if not named:
            raise DataError(f"{raw!r} is not a colour")
        return torch.eye(4)[named].sum(dim=0)


class Toy(Encoder):
    def __init__(self) -> None:
        super().__init__()
        self.dim, self.processor = 4, Direction()

    def forward(self, x: Tensor) -> Encoding:
        return Encoding(x)


def toy_rows() -> list[dict[str, Any]]:
    """Twelve rows: sight in 0-8, sound in even rows (10 is unreadable), text in all but 5, no label in 7.

    A thirteenth row, which is not among those of a source by default, has nothing but a label.
    """
    rows: list[dict[str, Any]] = []
    for number in range(12):
        colour = str(number % 3)
        row: dict[str, Any] = {"label": number % 3, "amount": number / 10}
        row |= {"sight": colour} if number < 9 else {}
        row |= {"sound": colour} if number % 2 == 0 else {}
        row |= {"text": f"{COLOURS[number % 3]} thing {'abcdefghijkl'[number]}"} if number != 5 else {}
        rows.append(row)
    rows[3]["sight"] = "1"  # looks green and is red
    rows[7].pop("label")
    rows[10]["sound"] = "noise"
    return [*rows, {"label": 2}]


class ToyRows:
    """Rows by their numbers; all twelve by default."""

    def __init__(self, *, rows: list[int] | None = None) -> None:
        known = toy_rows()
        self.rows = known[:12] if rows is None else [known[number] for number in rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        return self.rows[index]


class Captions:
    """Two things to see, and what four people said of them."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        said = [["red a", "green b"], ["green c", "green d"]][index]
        return {"sight": str(index), "text": Choices(said), "label": index}


class Endless(Stream):
    def rows(self, part: int, parts: int, seed: int) -> Iterator[Mapping[str, Any]]:
        for number in range(part, 100, parts):
            yield {"sight": str(number % 3)}


def registry() -> Registry:
    @hookimpl
    def fusion_encoders() -> list[Component]:
        return [Component(f"toy-{name}", Toy, name) for name in ("sight", "sound", "text")]

    @hookimpl
    def fusion_sources() -> list[Component]:
        return [
            Component("toy-rows", ToyRows),
            Component("toy-captions", Captions),
            Component("toy-stream", Endless),
        ]

    plugin = ModuleType("toy")
    plugin.fusion_encoders = fusion_encoders  # type: ignore[attr-defined]
    plugin.fusion_sources = fusion_sources  # type: ignore[attr-defined]
    return Registry({"toy": plugin})


def recipe(
    registry: Registry,
    sources: Mapping[str, Sequence[int] | None] | None = None,
    objectives: Mapping[str, Mapping[str, Any]] | None = None,
    **evaluate: Any,
) -> Recipe:
    """A recipe over the toys; evaluation sources by name, objectives and sections of `evaluate`."""
    chosen = {"test": None} if sources is None else sources
    evaluate["sources"] = {name: {"name": "toy-rows", "rows": rows} for name, rows in chosen.items()}
    made = Recipe(
        sources={"train": {"name": "toy-rows"}},
        encoders={name: {"name": f"toy-{name}"} for name in ("sight", "sound", "text")},
        width=8,
        objectives=objectives or {"colour": {"name": "classify", "classes": 3}},
        classes=COLOURS,
        train={"steps": 1, "batch": 4},
        evaluate=evaluate,
    )
    return complete(made, registry)


def model(recipe: Recipe, registry: Registry) -> Model:
    """A model in which equal samples of different modalities get equal vectors."""
    torch.manual_seed(0)
    made = build_model(recipe, registry).eval()
    for name in made.modalities:
        made.align[name].load_state_dict(made.align["text"].state_dict())
    return made
