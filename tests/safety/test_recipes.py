"""Recipes that grow, sink or run: YAML with aliases, nesting, tags and numbers that people do not write."""

import json
from pathlib import Path

import pytest

from fusion import PluginError, RecipeError, Registry, read_recipe
from fusion.recipe.text import MAX_CHARACTERS, MAX_DEPTH, MAX_VALUES, parse
from tests.safety.conftest import Payload


def laughs(form: str) -> str:
    """Return a text of a few hundred bytes that stands for nine to the eighth values."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for last, this in zip("abcdefg", "bcdefgh", strict=True):
        lines.append(f"{this}: &{this} " + form.replace("*", f"*{last}"))
    return "\n".join(lines)


@pytest.mark.parametrize(
    "form",
    [
        "[*, *, *, *, *, *, *, *, *]",
        "{a: *, b: *, c: *, d: *, e: *, f: *, g: *, h: *, i: *}",
    ],
)
def test_aliases_that_grow_are_refused(form: str) -> None:
    with pytest.raises(RecipeError, match=f"more than {MAX_VALUES:,} values, counting those of aliases"):
        parse(laughs(form))


def test_merged_keys_that_grow_are_refused() -> None:
    text = "a0: &a0 {x: 1}\n" + "".join(
        f"a{number}: &a{number} {{<<: [{', '.join([f'*a{number - 1}'] * 9)}]}}\n" for number in range(1, 9)
    )
    with pytest.raises(RecipeError, match="counting those of aliases"):
        parse(text)


def test_an_alias_in_its_place_is_read() -> None:
    assert parse("a: &a {b: 1}\nc: *a\nd: {<<: *a, e: 2}")[0] == {
        "a": {"b": 1},
        "c": {"b": 1},
        "d": {"b": 1, "e": 2},
    }


@pytest.mark.parametrize(
    "text",
    ["a: " + "[" * 10_000, "a: " + "[" * 200 + "]" * 200, "a: &a [*a]", "a: &a {b: *a}", "a:\n" + " a:\n"],
)
def test_what_has_no_bottom_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match=r"nested too deep|not YAML"):
        parse(text if text.count("\n") < 2 else "\n".join(" " * depth + "a:" for depth in range(300)))


def test_the_depth_that_is_read_ends_where_it_is_said_to() -> None:
    parse("a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1))
    with pytest.raises(RecipeError, match="nested too deep"):
        parse("a: " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))


@pytest.mark.parametrize("text", ["a: '" + "x" * 10_000_000 + "'", "a: [" + "x," * 100_000 + "]"])
def test_a_text_without_end_is_refused(text: str, tmp_path: Path, registry: Registry) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    with pytest.raises(RecipeError, match=f"more than {MAX_VALUES:,} values|more than {MAX_CHARACTERS:,}"):
        read_recipe(file, registry=registry)


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch {}']",
        "!!python/name:os.system",
        "!!python/module:os",
        "!<tag:yaml.org,2002:python/object/new:os.system> ['touch {}']",
        "!!set {a, b}",
        "!!binary aGk=",
        "!!timestamp 2001-01-01",
        "!!omap [a: 1]",
    ],
)
def test_tags_of_other_languages_are_no_recipe(value: str, payload: Payload) -> None:
    with pytest.raises(RecipeError, match=r"recipe:1: not YAML: could not determine a constructor"):
        parse("a: " + value.replace("{}", str(payload.trace)))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("9" * 5000, "this int cannot be read: Exceeds the limit"),
        ("!!int many", "this int cannot be read: invalid literal"),
        ("!!float much", "this float cannot be read"),
        ("!!bool perhaps", "this bool cannot be read"),
        (r'"\ud800"', "this str cannot be read: .* surrogates not allowed"),
        ("\ud800", "special characters are not allowed"),
        ("\0", "special characters are not allowed"),
    ],
)
def test_what_is_no_value_is_told_as_such(value: str, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        parse(f"a: {value}")


@pytest.mark.parametrize("name", ["../../up", "/etc/passwd", "a/b", "a\\0b", "..", "os:system"])
@pytest.mark.parametrize(
    "place", ["name: &", "sources: {&: {}}", "encoders: {&: {}}", "study: {versions: {&: []}}"]
)
def test_no_name_leads_out_of_its_folder(name: str, place: str, tmp_path: Path, registry: Registry) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(place.replace("&", f'"{name}"'))
    with pytest.raises(RecipeError, match=r"string should match pattern|is a lower-case identifier"):
        read_recipe(file, registry=registry)


@pytest.mark.parametrize("name", ["../../up", "/etc/passwd", "a/b", "a\0b", "..", "os:system", "os.system"])
@pytest.mark.parametrize("part", ["source", "encoder", "fuser", "objective"])
def test_what_is_not_installed_is_no_component(
    part: str, name: str, tmp_path: Path, registry: Registry
) -> None:
    file, recipe = (
        tmp_path / "recipe.yaml",
        {
            "sources": {"a": {"name": name if part == "source" else "digits"}},
            "encoders": {"image": {"name": name if part == "encoder" else "scratch-image"}},
            "fuser": {"name": name if part == "fuser" else "mean"},
            "objectives": {"digit": {"name": name if part == "objective" else "classify", "classes": 2}},
            "train": {"steps": 1},
        },
    )
    file.write_text(json.dumps(recipe))
    with pytest.raises((RecipeError, PluginError), match=f"unknown {part} "):
        read_recipe(file, registry=registry)


@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf", "1e999"])
def test_numbers_that_are_none_are_refused(number: str, tmp_path: Path, registry: Registry) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(f"train: {{steps: 1, lr: {number}}}")
    with pytest.raises(RecipeError, match=r"train\.lr: .*(finite number|greater than 0)"):
        read_recipe(file, registry=registry)


@pytest.mark.parametrize("suffix", ["yaml", "yml", "txt", "json", ""])
def test_only_a_file_that_ends_in_py_is_a_script(suffix: str, tmp_path: Path, payload: Payload) -> None:
    file = tmp_path / f"recipe.{suffix}"
    file.write_text(f"import os\nos.system('touch {payload.trace}')\n")
    with pytest.raises(RecipeError, match=r"not YAML|is a mapping of keys"):
        read_recipe(file)
