"""Recipes are completed, and made small."""

from typing import Any

import pytest

from fusion import RecipeError, Registry, Run, read_recipe
from fusion.picks import complete, shrink
from fusion.recipe.text import parse


def test_the_recipe_of_a_run_is_complete_and_gives_the_same_recipe(tiny_run: Run, registry: Registry) -> None:
    shrunk = shrink(read_recipe("bind_digits", registry=registry), registry)
    assert read_recipe(tiny_run.folder, registry=registry) == shrunk
    assert read_recipe(tiny_run.folder / "recipe.yaml", registry=registry) == shrunk
    data = parse((tiny_run.folder / "recipe.yaml").read_text("utf-8"))[0]
    assert data == shrunk.model_dump(mode="json")
    assert complete(tiny_run.recipe, registry) == shrunk
    assert data["encoders"]["audio"]["tune"] == {
        "mode": "full",
        "align": True,
        "lr_scale": 1.0,
        "layer_decay": 1.0,
        "recompute": False,
    }
    assert data["sources"]["seen"]["split"] == "train"


def test_a_completed_recipe_is_complete(write: Any, registry: Registry) -> None:
    recipe = read_recipe(write(), registry=registry)
    assert complete(recipe, registry) == recipe


def test_shrink_keeps_the_experiment_and_makes_it_small(registry: Registry) -> None:
    recipe = read_recipe("bind_digits", ["fuser.name=attend"], registry)
    small = shrink(recipe, registry)
    assert small.train.steps == 8
    assert small.train.batch == 16
    assert small.evaluate.limit == 32
    assert small.encoders["image"].options["dim"] == 16
    assert small.modalities == recipe.modalities
    assert list(small.objectives) == list(recipe.objectives)
    assert small.sources["heard"].options == recipe.sources["heard"].options | {"limit": 64}
    assert small.sources["seen"].weight == 2
    assert small.fuser.options == recipe.fuser.options | {"layers": 1}
    assert small.fuser.modality_dropout == recipe.fuser.modality_dropout == 0.5
    given = read_recipe("bind_digits", ["encoders.image.dim=64", "sources.seen.limit=7"], registry)
    assert shrink(given, registry).encoders["image"].options["dim"] == 16  # it may be weights of gigabytes
    assert shrink(given, registry).sources["seen"].options["limit"] == 7
    few = read_recipe("bind_digits", ["train.steps=3", "train.batch=4", "evaluate.limit=5"], registry)
    assert (shrink(few, registry).train.steps, shrink(few, registry).train.batch) == (3, 4)
    assert shrink(few, registry).evaluate.limit == 5
    auto = read_recipe("bind_digits", ["train.batch=auto"], registry)
    assert auto.train.batch == "auto"
    assert shrink(auto, registry).train.batch == 16
    with pytest.raises(RecipeError, match=r"train\.batch: 'auto' is found by training only; give a number"):
        _ = auto.train.rows
