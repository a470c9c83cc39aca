"""Check a recipe's options against a component's signature: the signature is the schema."""

import inspect
from collections.abc import Iterable, Mapping
from types import NoneType
from typing import Any, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from fusion.component import Component, Option
from fusion.errors import Problem, unknown


def check(
    component: Component, given: Mapping[str, Any], path: str, core: Iterable[str] = ()
) -> tuple[dict[str, Any], list[Problem]]:
    """Return the complete options, defaults included, and what is wrong with those given.

    `core` names the keys that may stand beside the options, for who has misspelt one of them.
    """
    options = component.options()
    values: dict[str, Any] = {}
    problems = [
        Problem(f"{path}.{name}", unknown(f"option of {component.name}", name, [*options, *core]))
        for name in given
        if name not in options
    ]
    for option in options.values():
        where = f"{path}.{option.name}"
        if option.name not in given:
            if option.required:
                problems.append(Problem(where, f"{component.name} needs this option ({option})"))
            else:
                values[option.name] = option.default
                problems += _not_plain(option.default, where, component.name)
            continue
        if option.part is not None:
            values[option.name] = given[option.name]
            problems += _not_picked(option, given[option.name], where)
            continue
        try:
            values[option.name] = _adapter(option.type).validate_python(given[option.name])
        except ValidationError as error:
            details = "; ".join(detail["msg"] for detail in error.errors())
            problems.append(Problem(where, f"{given[option.name]!r} does not fit ({option}): {details}"))
    return values, problems


def _not_plain(default: Any, path: str, name: str) -> list[Problem]:
    try:
        to_jsonable_python(default)
    except PydanticSerializationError:
        message = (
            f"{name} has a default that a recipe cannot hold ({default!r}); its plugin has to use plain data"
        )
        return [Problem(path, message)]
    return []


def _not_picked(option: Option, given: Any, path: str) -> list[Problem]:
    """Say what is wrong with how a component is picked within another; its own options are checked apart."""
    assert option.part is not None
    if isinstance(given, Mapping) and isinstance(given.get("name"), str):
        return []
    if given is None and NoneType in get_args(option.type):
        return []
    kind = option.part.__name__.lower()
    message = f"{given!r} picks no {kind}; write it as {{name: NAME}}, with the options of that {kind}"
    return [Problem(path, message)]


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    if annotation is inspect.Parameter.empty:
        return TypeAdapter(Any)
    try:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except Exception:  # a type that brings its own configuration, such as a dataclass or a model
        return TypeAdapter(annotation)
