"""Recipes are found by name, in files and in scripts, and changed by overrides."""

import re
from pathlib import Path
from typing import Any

import pytest

from fusion import RecipeError, Registry, read_recipe
from fusion.build import build_sources
from fusion.recipe.file import find, shipped
from tests.recipe.recipes import GOOD, base, problems


def test_a_shipped_recipe_is_found_by_name(registry: Registry) -> None:
    assert "bind_digits" in shipped()
    assert find("bind_digits") == shipped()["bind_digits"]
    assert read_recipe("bind_digits", registry=registry).name == "bind_digits"


def test_every_shipped_recipe_can_be_read(registry: Registry) -> None:
    names = [read_recipe(name, registry=registry).name for name in shipped()]
    assert names == list(shipped())
    assert len(names) > 0


def test_a_misspelt_name_is_answered_with_the_closest() -> None:
    with pytest.raises(RecipeError, match="unknown recipe 'bind_digit'; did you mean 'bind_digits'"):
        read_recipe("bind_digit")


@pytest.mark.parametrize("path", ["nowhere.yaml", "nowhere.yml", "nowhere.py", "no/where"])
def test_a_missing_file_is_told(path: str) -> None:
    with pytest.raises(RecipeError, match=f"^{re.escape(path)}: no such file; give the name or the path"):
        read_recipe(path)


def test_a_file_with_spaces_in_its_name_gives_a_run_without(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / ".my recipe.yaml").write_text(GOOD)
    assert read_recipe(tmp_path / ".my recipe.yaml", registry=registry).name == "my-recipe"


def test_a_python_file_holds_a_recipe(tmp_path: Path, registry: Registry, write: Any) -> None:
    script = tmp_path / "mine.py"
    script.write_text(f"import fusion\nrecipe = fusion.Recipe(**{base()!r})\n")
    assert read_recipe(script, registry=registry) == read_recipe(write(), registry=registry)
    changed = read_recipe(script, ["train.steps=7"], registry)
    assert changed.train.steps == 7


@pytest.mark.parametrize("content", ["", "recipe = {'width': 3}"])
def test_a_python_file_without_a_recipe_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "mine.py").write_text(content)
    with pytest.raises(RecipeError, match=r"mine\.py: has no variable `recipe` that holds a fusion\.Recipe"):
        read_recipe(tmp_path / "mine.py")


def test_the_path_and_the_text_of_a_recipe_give_the_same(write: Any, registry: Registry) -> None:
    path = write()
    assert read_recipe(path, registry=registry) == read_recipe(str(path), registry=registry)


def test_overrides_reach_nested_and_new_keys(write: Any, registry: Registry) -> None:
    overrides = [
        "train.lr=1e-4",
        "train.steps=7",
        "fuser.heads=4",
        "encoders.audio.tune.mode=frozen",
        "encoders.image.size=8",
        "objectives.align.pairs=[[image, text], [audio, text]]",
        "objectives.align.hub=null",
        "sources.third={name: digits, view: text}",
        "evaluate.limit=5",
        "classes=[no, yes, 1e3]",
        "name=other",
    ]
    with pytest.raises(RecipeError, match=r"mine\.yaml: classes\.2: 1000\.0: input should be a valid string"):
        read_recipe(write(), overrides, registry)
    overrides[-2] = "classes=[no, yes, '1e3']"
    recipe = read_recipe(write(), overrides, registry)
    assert recipe.train.lr == 1e-4
    assert recipe.train.steps == 7
    assert recipe.train.batch == 8
    assert recipe.fuser.options["heads"] == 4
    assert recipe.encoders["audio"].tune.mode == "frozen"
    assert recipe.encoders["audio"].tune.lr_scale == 1.0
    assert recipe.encoders["image"].options["size"] == 8
    assert recipe.objectives["align"].options["hub"] is None
    assert list(recipe.sources) == ["seen", "heard", "third"]
    assert recipe.evaluate.limit == 5
    assert recipe.classes == ["no", "yes", "1e3"]
    assert recipe.name == "other"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.stps=7", r"mine\.yaml: train\.stps: unknown key 'stps'; did you mean 'steps'\?"),
        ("fuser.heds=7", r"mine\.yaml: fuser\.heds: unknown option of attend 'heds'; did you mean 'heads'\?"),
        ("train.lr=fast", r"mine\.yaml: train\.lr: 'fast': input should be a valid number"),
        ("train.lr", r"recipe: train\.lr: an override is written path=value, such as train\.lr=1e-4"),
        ("=3", "recipe: =3: an override is written path=value"),
        ("width.x=3", r"recipe: width\.x: 'width' holds 16 and has no keys to override"),
        ("classes=[a", r"classes=\[a:1: not YAML: "),
    ],
)
def test_a_wrong_override_is_told_without_a_line_of_the_file(
    write: Any, registry: Registry, override: str, message: str
) -> None:
    with pytest.raises(RecipeError, match=f"^({message}|.*/{message})"):
        read_recipe(write(), [override], registry)


def test_a_mistake_in_the_file_keeps_its_line_beside_an_override(write: Any, registry: Registry) -> None:
    lines = problems(write(("steps: 30", "steps_: 30")), registry, "train.steps=7")
    assert [line.split(": unknown")[0] for line in lines] == ["mine.yaml:13: train.steps_"]


def test_a_script_brings_its_own_source(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text(
        """
from fusion import Component, Recipe, hookimpl


@hookimpl
def fusion_sources():
    return [Component("mine", lambda *, rows=4: [{"text": f"row {n}"} for n in range(rows)])]


recipe = Recipe(
    sources={"mine": {"name": "mine", "rows": 3}},
    encoders={"text": {"name": "scratch-text"}},
    objectives={"digit": {"name": "classify", "classes": 2}},
    train={"steps": 1, "batch": 2},
)
"""
    )
    registry = Registry()
    recipe = read_recipe(script, ["sources.mine.rows=5"], registry)
    assert recipe.name == "mine"
    assert len(build_sources(recipe.sources, registry)["mine"]) == 5
    assert registry.faults == []
    assert registry.find("source", "digits")  # the installed ones are still there, and not contested
