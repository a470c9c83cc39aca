"""What the YAML text of a recipe holds: plain data and where it stands, within limits."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from fusion.errors import Problem, RecipeError

MAX_CHARACTERS = 1_000_000
MAX_VALUES = 50_000
"""In a recipe; a value that aliases name counts as often as they name it."""
MAX_DEPTH = 50


def read(path: Path) -> str:
    """Return the text of a file. Raises RecipeError where it cannot be one."""
    try:
        if path.stat().st_size > 4 * MAX_CHARACTERS:  # bytes of UTF-8
            raise OSError(f"more than {MAX_CHARACTERS:,} characters")
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        message = f"cannot be read as text: {error}; save it in UTF-8"
        raise RecipeError([Problem("", message)], str(path)) from error
    except OSError as error:
        raise RecipeError([Problem("", f"cannot be read as text: {error}")], str(path)) from error


def parse(text: str, origin: str = "recipe") -> tuple[dict[str, Any], dict[str, int]]:
    """Return what a YAML text holds, and the line of every dotted path in it.

    Raises RecipeError, also for a small text that aliases make large.
    """
    loader = None
    try:
        if len(text) > MAX_CHARACTERS:
            raise yaml.YAMLError(f"{len(text):,} characters; at most {MAX_CHARACTERS:,} are read")
        loader = _Loader(text)
        node = loader.get_single_node()
        lines = _all_lines(node) if node is not None else {}
        data = loader.construct_document(node) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        remedy = "; indent with spaces" if "'\\t'" in str(error.problem) else ""
        raise RecipeError([Problem("", f"not YAML: {error.problem}{remedy}", line)], origin) from error
    except yaml.YAMLError as error:
        raise RecipeError([Problem("", f"not YAML: {error}")], origin) from error
    except RecursionError as error:
        raise RecipeError(
            [Problem("", "not YAML that can be read: it is nested too deep")], origin
        ) from error
    finally:
        if loader is not None:
            loader.dispose()
    if not isinstance(data, dict):
        message = f"a recipe is a mapping of keys, not {type(data).__name__}; give sources, encoders, ..."
        raise RecipeError([Problem("", message)], origin)
    return data, lines


def dump(data: Mapping[str, Any]) -> str:
    """Return the YAML text from which `parse` reads the same data."""
    text: str = yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


class _Loader(yaml.SafeLoader):
    """Safe YAML with the types and the scalars of YAML 1.2: `1e-4` is a number and `no` is a word."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.composed = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.composed += 1
        _expect_few(self.composed)
        node: yaml.Node | None = super().compose_node(parent, index)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, str):
                value.encode()  # fails for half a surrogate pair, which no file can hold
        except (ValueError, KeyError) as error:  # a number of too many digits, or `!!int` before a word
            problem = f"this {node.tag.rpartition(':')[2]} cannot be read: {str(error)[:200]}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from error
        return value


_Loader.yaml_constructors = {
    tag: construct
    for tag, construct in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.endswith((":null", ":bool", ":int", ":float", ":str", ":seq", ":map"))
}

_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if not tag.endswith((":bool", ":int", ":float", ":timestamp"))
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
# \Z, since PyYAML takes a scalar that only begins with a number for one
for _tag, _pattern, _first in (
    ("bool", r"(true|false)\Z", "tTfF"),
    ("int", r"([-+]?(0|[1-9]\d*)|0x[\da-f]+)\Z", "-+0123456789"),
    ("float", r"([-+]?(\d+\.\d*|\.\d+|\d+(?=e))(e[-+]?\d+)?|[-+]?\.inf|\.nan)\Z", "-+0123456789."),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern, re.I), list(_first))


class _Dumper(yaml.SafeDumper):
    """Safe YAML in which a word is quoted that YAML 1.1 or 1.2 would take for something else."""


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # PyYAML writes these line breaks as they are, and reads them as spaces, unless in double quotes
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, '"' if _BREAKS.search(text) else None)


_BREAKS = re.compile("[\x85\u2028\u2029]")
_Dumper.add_representer(str, _text_node)
_Dumper.yaml_implicit_resolvers = {
    first: yaml.SafeDumper.yaml_implicit_resolvers.get(first, [])
    + _Loader.yaml_implicit_resolvers.get(first, [])
    for first in yaml.SafeDumper.yaml_implicit_resolvers.keys() | _Loader.yaml_implicit_resolvers.keys()
}


def _all_lines(node: yaml.Node) -> dict[str, int]:
    lines: dict[str, int] = {}
    for count, (path, line) in enumerate(_lines(node)):
        _expect_few(count)
        lines[path] = line
    return lines


def _expect_few(values: int) -> None:
    if values > MAX_VALUES:
        raise yaml.YAMLError(f"more than {MAX_VALUES:,} values, counting those of aliases each time")


def _lines(node: yaml.Node, path: str = "", depth: int = 0) -> Iterator[tuple[str, int]]:
    if depth > MAX_DEPTH:
        raise RecursionError
    children: list[tuple[str, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        children = [(str(key.value), key, value) for key, value in node.value]
        seen: set[str] = set()
        for name, key, _ in children:
            if isinstance(key, yaml.ScalarNode) and not key.tag.endswith(":merge"):
                key.tag = "tag:yaml.org,2002:str"  # a key is a word, also where it looks like a number
            if name in seen:
                raise yaml.MarkedYAMLError(problem=f"key {name!r} stands twice", problem_mark=key.start_mark)
            seen.add(name)
    elif isinstance(node, yaml.SequenceNode):
        children = [(str(number), value, value) for number, value in enumerate(node.value)]
    for name, place, value in children:
        inner = f"{path}.{name}" if path else name
        yield inner, place.start_mark.line + 1
        yield from _lines(value, inner, depth + 1)
