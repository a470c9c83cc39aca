"""What is told of a component is what it takes, and what shows how to pick it picks it."""

import shlex
import tomllib
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import Field

from fusion import Component, Registry, described
from fusion.cli import cli
from fusion.picks import component_problems, picks
from fusion.recipe.schema import Recipe
from fusion.registry import HOOKS, Offer, Origin

ROOT = Path(__file__).parents[1]
BASE: dict[str, Any] = {
    "sources": {"other": {"name": "digits"}},
    "encoders": {"text": {"name": "scratch-text"}},
    "objectives": {"align": {"name": "contrastive"}},
    "train": {"steps": 1},
}


def bounded(
    width: int,
    *,
    share: Annotated[float, Field(gt=0, le=1)],
    sizes: list[Annotated[int, Field(ge=2)]] | None = None,
    names: Annotated[tuple[str, ...], Field(min_length=1)] = ("a",),
) -> None:
    """Keep within bounds (Hu et al. 2022, section 4; Kullback and Leibler 1951, and Hu et al. 2022)."""


def test_options_have_their_types_ranges_and_defaults() -> None:
    component = Component("bounded", bounded, tiny={"share": 0.5})
    assert described.rows(component) == [
        ("share", "float", "> 0, ≤ 1", True, None),
        ("sizes", "list[int] | None", "each ≥ 2", False, None),
        ("names", "tuple[str, ...]", "length ≥ 1", False, ("a",)),
    ]
    assert described.papers(component) == ["Hu et al. 2022", "Kullback and Leibler 1951"]
    offer = Offer("fuser", component, Origin("mine", "mine", "1"))
    assert described.snippet(offer) == "fuser: {name: bounded, share: 0.5}"
    assert described.module(component).endswith("test_described:bounded")


def test_every_component_is_picked_by_what_is_shown(registry: Registry) -> None:
    seen = set()
    for offer in registry:
        shown = described.snippet(offer)
        seen.add(offer.kind)
        if described.language(offer.kind) == "console":
            _, name, *words = shlex.split(shown)
            cli.commands[name].make_context(name, words)
            assert shown.endswith(f" {offer.component.name}")
            continue
        given = yaml.safe_load(shown)
        recipe = BASE | {key: {**BASE.get(key, {}), **value} for key, value in given.items()}
        recipe["encoders"] |= {key: {"name": "scratch-text"} for key in given.get("augment", {})}
        data = Recipe(**recipe).model_dump(mode="json")
        assert component_problems(data, registry) == [], shown
        picked = {(pick.kind, pick.name) for pick in picks(data, registry)}
        assert (offer.kind, offer.component.name) in picked, shown
    assert seen == set(HOOKS)


def test_every_extra_that_is_needed_is_ours(registry: Registry) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    needed = [offer.component.needs for offer in registry if offer.component.needs]
    assert len(needed) >= 5
    assert [need for need in needed if need.removeprefix("fusion-bind[").rstrip("]") not in extras] == []


@pytest.mark.parametrize("kind", HOOKS)
def test_no_component_is_silent(registry: Registry, kind: str) -> None:
    offers = [offer for offer in registry if offer.kind == kind]
    assert offers
    assert [offer for offer in offers if not described.doc(offer.component).strip()] == []
