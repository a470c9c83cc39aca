"""Values of a key, given as text."""

import re
from typing import Any

import pytest

from fusion import RecipeError, Registry, read_recipe
from fusion.recipe.axis import over
from fusion.recipe.text import parse


def test_values_of_a_key_are_overrides_that_give_them_back(write: Any, registry: Registry) -> None:
    given = {
        "init=runs/a, runs/b ,null": ["runs/a", "runs/b", None],
        "encoders.image={name: scratch-image, size: 16},{name: scratch-image}": [
            {"name": "scratch-image", "size": 16},
            {"name": "scratch-image"},
        ],
        "train.lr=1e-4,0.5": [1e-4, 0.5],
        "classes=[no, ja],[]": [["no", "ja"], []],
    }
    for text, values in given.items():
        path = text.partition("=")[0]
        found = over(text)
        assert [parse(f"value: {one.removeprefix(path + '=')}")[0]["value"] for one in found] == values
        for override in found:
            read_recipe(write(), [override], registry)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("init", "init: values are written path=V1,V2, such as init=runs/a,runs/b,null"),
        ("init= ", "init= : values are written path=V1,V2"),
        ("=a,b", "=a,b: values are written path=V1,V2"),
        ("init=a,b,a", 'init: "a" stands twice; give it once'),
        ("init=a]", "init=a]:1: not YAML"),
    ],
)
def test_values_that_cannot_be_read_are_told(text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(said)):
        over(text)
