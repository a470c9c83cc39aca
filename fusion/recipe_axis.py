"""The values of a key of a recipe, given as text: each of them makes another recipe."""

import json
import re
from typing import Any

from fusion.errors import Problem, RecipeError
from fusion.recipe_text import parse


def axis(given: str) -> tuple[str, list[Any]]:
    """Return the path and the values of "path=V1,V2": what stands in the brackets of a YAML list.

    "@NAME" needs no quotes there. Raises RecipeError when it is written otherwise, or a value stands twice.
    """
    path, _, text = given.partition("=")
    if not path or not text.strip():
        raise RecipeError([Problem(given, "values are written path=V1,V2, such as init=runs/a,runs/b,null")])
    quoted = re.sub(r"(^|[\[{,:]\s*)@([\w./-]+)", r'\1"@\2"', text)
    values: list[Any] = parse(f"value: [{quoted}]", given)[0]["value"]
    if len(values) == 1 and isinstance(values[0], list):  # they stand in brackets already
        [values] = values
    for value in values:
        if values.count(value) > 1:
            raise RecipeError([Problem(path, f"{json.dumps(value)} stands twice; give it once")])
    return path, values


def over(given: str) -> list[str]:
    """Return an override for each value of "path=V1,V2". Raises RecipeError as `axis` does."""
    path, values = axis(given)
    return [f"{path}={json.dumps(value, ensure_ascii=False)}" for value in values]
