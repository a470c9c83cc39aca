"""The values of a key of a recipe, given as text, one by one or as a range: each makes another recipe."""

import json
import re
from typing import Any, NamedTuple

from fusion.errors import Problem, RecipeError
from fusion.recipe.text import parse

RANGE = re.compile(r"(float|log|int|logint):([^:,]+):([^:,]+)")


class Range(NamedTuple):
    """All numbers from `low` to `high`, or the whole ones; `log` has the same number in every decade."""

    low: float
    high: float
    whole: bool
    log: bool

    def holds(self, value: Any) -> bool:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.low <= value <= self.high and (not self.whole or value == int(value))

    def __str__(self) -> str:
        kind = ("logint" if self.log else "int") if self.whole else ("log" if self.log else "float")
        return f"{kind}:{self.low}:{self.high}"


Axis = list[Any] | Range


def axis(given: str) -> tuple[str, Axis]:
    """Return the path and the values of "path=V1,V2", or the range of "path=KIND:LOW:HIGH".

    Values are what stands in the brackets of a YAML list; "@NAME" needs no quotes there. A KIND is float,
    log, int or logint. Raises RecipeError where it is written otherwise, a value stands twice or a range is
    empty.
    """
    path, _, text = given.partition("=")
    if not path or not text.strip():
        raise RecipeError([Problem(given, "values are written path=V1,V2, such as init=runs/a,runs/b,null")])
    if found := RANGE.fullmatch(text.strip()):
        return path, _range(path, *found.groups())
    quoted = re.sub(r"(^|[\[{,:]\s*)@([\w./-]+)", r'\1"@\2"', text)
    values: list[Any] = parse(f"value: [{quoted}]", given)[0]["value"]
    if len(values) == 1 and isinstance(values[0], list):  # they stand in brackets already
        [values] = values
    for value in values:
        if values.count(value) > 1:
            raise RecipeError([Problem(path, f"{json.dumps(value)} stands twice; give it once")])
    return path, values


def values(given: str) -> tuple[str, list[Any]]:
    """Return the path and the values of "path=V1,V2". Raises RecipeError as `axis` does, and for a range."""
    path, found = axis(given)
    if isinstance(found, Range):
        message = f"{found} is a range, in which `fusion tune` looks for values; give some, such as V1,V2"
        raise RecipeError([Problem(path, message)])
    return path, found


def over(given: str) -> list[str]:
    """Return an override for each value of "path=V1,V2". Raises RecipeError as `values` does."""
    path, found = values(given)
    return [override(path, value) for value in found]


def override(path: str, value: Any) -> str:
    return f"{path}={json.dumps(value, ensure_ascii=False)}"  # JSON is YAML


def _range(path: str, kind: str, *ends: str) -> Range:
    whole, log = kind.endswith("int"), kind.startswith("log")
    try:
        low, high = ((int if whole else float)(end) for end in ends)
    except ValueError:
        what = "whole numbers" if whole else "numbers"
        raise RecipeError([Problem(path, f"{kind}:{':'.join(ends)} is not of {what}")]) from None
    if not low < high < float("inf") or (log and low <= 0):
        wanted = "0 < LOW < HIGH" if log else "LOW < HIGH"
        raise RecipeError([Problem(path, f"{kind}:{low}:{high} holds nothing to look in; {wanted} expected")])
    return Range(low, high, whole, log)
