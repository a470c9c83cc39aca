"""The fuser keeps its contract, and the recipe trains with it."""

from pathlib import Path

import pytest
from fusion import Registry, read_recipe, train
from fusion.testing import check_fuser

import $package
from $package.fuser import Max


def test_the_fuser_keeps_its_contract() -> None:
    check_fuser(Max)


def test_the_recipe_trains_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    registry = Registry(plugins={"$name": $package})
    recipe = read_recipe("recipe.yaml", ["fuser.name=$kebab-max", "train.steps=2"], registry=registry)
    run = train(recipe, tmp_path / "run", registry=registry)
    assert run.metrics["data/bad_rows"] == 0
    assert 0 <= run.metrics["subsets/image+text+audio/accuracy"] <= 1
