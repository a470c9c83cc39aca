"""A registry, recipes and models over the toy modalities."""

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import pytest
import torch

from fusion import Component, Model, Recipe, Registry, hookimpl
from fusion.build import build_model
from fusion.picks import complete
from tests.evaluation.toys import COLOURS, Captions, Endless, Toy, ToyRows


@pytest.fixture(scope="session")
def toys() -> Registry:
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


@pytest.fixture(scope="session")
def toy_recipe(toys: Registry) -> Callable[..., Recipe]:
    """A recipe over the toys; evaluation sources by name, objectives and sections of `evaluate`."""

    def build(
        sources: Mapping[str, Sequence[int] | None] | None = None,
        objectives: Mapping[str, Mapping[str, Any]] | None = None,
        **evaluate: Any,
    ) -> Recipe:
        chosen = {"test": None} if sources is None else sources
        evaluate["sources"] = {name: {"name": "toy-rows", "rows": rows} for name, rows in chosen.items()}
        recipe = Recipe(
            sources={"train": {"name": "toy-rows"}},
            encoders={name: {"name": f"toy-{name}"} for name in ("sight", "sound", "text")},
            width=8,
            objectives=objectives or {"colour": {"name": "classify", "classes": 3}},
            classes=COLOURS,
            train={"steps": 1, "batch": 4},
            evaluate=evaluate,
        )
        return complete(recipe, toys)

    return build


@pytest.fixture(scope="session")
def toy_model(toys: Registry) -> Callable[[Recipe], Model]:
    """A model in which equal samples of different modalities get equal vectors."""

    def build(recipe: Recipe) -> Model:
        torch.manual_seed(0)
        model = build_model(recipe, toys).eval()
        for name in model.modalities:
            model.align[name].load_state_dict(model.align["text"].state_dict())
        return model

    return build
