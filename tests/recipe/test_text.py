"""The text of recipes: what is read of it, and what is written."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fusion import RecipeError, Registry, read_recipe
from fusion.recipe.text import dump, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("3E+2", 300.0),
        ("1.5", 1.5),
        ("-.5", -0.5),
        ("2.", 2.0),
        (".inf", float("inf")),
        ("7", 7),
        ("-7", -7),
        ("0x1F", 31),
        ("0", 0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("falsehood", "falsehood"),
        ("true-to-life", "true-to-life"),
        ("3d", "3d"),
        ("1.2.3", "1.2.3"),
        ("4e", "4e"),
        ("12:30", "12:30"),
        ("2024-01-31", "2024-01-31"),
        ("1_000", "1_000"),
        ("010", "010"),
        ("089", "089"),
        (".infinity", ".infinity"),
        ("- ", [None]),
    ],
)
def test_scalars_are_read_as_in_yaml_1_2(text: str, value: Any) -> None:
    found = parse(f"key: {text}" if text != "- " else "key:\n- ")[0]["key"]
    assert type(found) is type(value)
    assert found == value


@pytest.mark.parametrize("key", ["1", "no", "null", "1e3", "true", "2024-01-31"])
def test_a_key_is_a_word_whatever_it_looks_like(key: str) -> None:
    data, lines = parse(f"a:\n  b: 1\n{key}:\n  c: 2")
    assert data == {"a": {"b": 1}, key: {"c": 2}}
    assert lines == {"a": 1, "a.b": 2, key: 3, f"{key}.c": 4}


def test_anchors_and_merges_work() -> None:
    data, _ = parse("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}")
    assert data["d"] == {"b": 1, "c": 3}


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


lookalikes = st.from_regex(
    r"[-+]?[0-9._]{1,4}(e[0-9]{1,2})?|0x[0-9a-f]|tRUE|False|no|on|~|null|[0-9]{1,2}:[0-9]{2}", fullmatch=True
)


@given(st.dictionaries(st.text(min_size=1), plain | lookalikes, max_size=4))
def test_what_is_dumped_is_parsed_again_to_the_bit(data: dict[str, Any]) -> None:
    assert parse(dump(data))[0] == data


@given(lookalikes)
def test_words_that_look_like_numbers_stay_words_for_other_readers_too(word: str) -> None:
    assert parse(dump({"classes": [word]}))[0] == {"classes": [word]}
    assert yaml.safe_load(dump({"classes": [word]})) == {"classes": [word]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: {c: 2\nd: 3", r"mine\.yaml:3: not YAML: "),
        (
            "a: 1\n\tb: 2",
            r"mine\.yaml:2: not YAML: found character '\\t' that cannot start any token; indent with spaces$",
        ),
        ("a: b: c", r"mine\.yaml:1: not YAML: mapping values are not allowed here"),
        ("a: 1\nb: 2\na: 3", r"mine\.yaml:3: not YAML: key 'a' stands twice"),
        ("a:\n  b: 1\n  c: 2\n  b: 3", r"mine\.yaml:4: not YAML: key 'b' stands twice"),
        ("a: *x", r"mine\.yaml:1: not YAML: found undefined alias"),
        ("a: 1\n---\nb: 2", r"mine\.yaml:2: not YAML: but found another document"),
        ("a: !!python/object:os.system x", r"mine\.yaml:1: not YAML: could not determine a constructor"),
        ("[a]: b", r"mine\.yaml:1: not YAML: found unhashable key"),
        ("a: \x07", r"mine\.yaml: not YAML: unacceptable character #x0007"),
        ("a: &x {b: *x}", r"mine\.yaml: not YAML that can be read: it is nested too deep"),
        ("[" * 3000, r"mine\.yaml: not YAML that can be read: it is nested too deep"),
        ("- a\n- b", r"mine\.yaml: a recipe is a mapping of keys, not list"),
        ("digits", r"mine\.yaml: a recipe is a mapping of keys, not str; give sources, encoders"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_with_the_line(
    write: Any, registry: Registry, text: str, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        read_recipe(write(text=text), registry=registry)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"name: \xff")
    with pytest.raises(
        RecipeError, match=r"mine\.yaml: cannot be read as text: 'utf-8' .*; save it in UTF-8"
    ):
        read_recipe(tmp_path / "mine.yaml", registry=registry)
