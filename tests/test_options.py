"""Options are checked against the signature of a component."""

from types import ModuleType
from typing import Any, Literal

import pytest

from fusion import Component, Recipe, RecipeError, Registry, hookimpl
from fusion.picks import complete
from tests.recipe.recipes import base


def build(
    *,
    needed: int,
    kind: Literal["a", "b"] = "a",
    free: Any = None,
    bare=3,
    names: list[str] | None = None,
) -> None:
    """A source with options of several types; never built."""


@pytest.fixture
def offered() -> Registry:
    plugin = ModuleType("offered")
    plugin.fusion_sources = hookimpl(lambda: [Component("odd", build)], specname="fusion_sources")  # type: ignore[attr-defined]
    return Registry(plugins={"offered": plugin})


def test_options_are_checked_against_the_signature(offered: Registry) -> None:
    recipe = complete(
        Recipe(**base(sources={"one": {"name": "odd", "needed": "4", "bare": [1, "x"]}})), offered
    )
    assert recipe.sources["one"].options == {
        "needed": 4,
        "kind": "a",
        "free": None,
        "bare": [1, "x"],  # an option without a type takes anything
        "names": None,
    }


def test_a_default_that_no_recipe_can_hold_is_told() -> None:
    def build(*, kind: Any = complex) -> None: ...

    plugin = ModuleType("offered")
    plugin.fusion_sources = hookimpl(lambda: [Component("odd", build)], specname="fusion_sources")  # type: ignore[attr-defined]
    with pytest.raises(
        RecipeError,
        match=r"sources\.one\.kind: odd has a default that a recipe cannot hold \(<class 'complex'>\)",
    ):
        complete(Recipe(**base(sources={"one": {"name": "odd"}})), Registry(plugins={"offered": plugin}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"sources\.one\.needed: odd needs this option \(needed: int\)"),
        ({"needed": 1.5}, r"sources\.one\.needed: 1\.5 does not fit \(needed: int\): .* fractional part"),
        (
            {"needed": 1, "kind": "c"},
            r"sources\.one\.kind: 'c' does not fit \(kind: Literal\['a', 'b'\] = 'a'\): Input should",
        ),
        (
            {"needed": 1, "names": "x"},
            r"sources\.one\.names: 'x' does not fit .*: Input should be a valid list",
        ),
        (
            {"needed": 1, "nmes": []},
            r"unknown option of odd 'nmes'; did you mean 'names'\? known: bare, free, ",
        ),
    ],
)
def test_an_option_that_does_not_fit_is_told(
    offered: Registry, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=f"^recipe: .*{message}"):
        complete(Recipe(**base(sources={"one": {"name": "odd", **options}})), offered)
