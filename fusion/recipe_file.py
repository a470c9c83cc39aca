"""Read a recipe from a name, a YAML file or a .py file, with overrides, and say where it is wrong."""

import re
import runpy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from fusion.errors import Problem, RecipeError, unknown

_here = Path(__file__).parent
SHIPPED = next(path for path in (_here / "recipes", _here.parent / "recipes") if path.is_dir())


def shipped() -> dict[str, Path]:
    """Return the recipes that come with fusion, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def find(recipe: str | Path) -> Path:
    """Return the file of a recipe that is given as a name or a path, or the recipe of a run folder."""
    path = Path(recipe)
    if path.is_dir() and (path / "recipe.yaml").is_file():
        return path / "recipe.yaml"
    if path.is_file():
        return path
    if path.suffix in (".yaml", ".yml", ".py") or len(path.parts) > 1:
        raise RecipeError([Problem("", "no such file; give the name or the path of a recipe")], str(recipe))
    if str(recipe) not in shipped():
        raise RecipeError([Problem("", unknown("recipe", str(recipe), shipped()))])
    return shipped()[str(recipe)]


def read_recipe(recipe: str | Path, overrides: Sequence[str] = (), registry: Any = None) -> Any:
    """Return the fusion.Recipe that a name, a YAML file or a .py file holds.

    A .py file has the recipe in the variable `recipe`. `overrides` are dotted, such as "train.lr=1e-4".
    The result is complete: every option is written out. Raises RecipeError with all problems, each with
    its path and line.
    """
    from fusion.build import complete, component_problems
    from fusion.recipe import Recipe
    from fusion.registry import Registry

    path = find(recipe)
    registry = registry or Registry()
    data, lines = _from_python(path) if path.suffix == ".py" else parse(path.read_text("utf-8"), str(path))
    if path.name != "recipe.yaml":
        data.setdefault("name", path.stem)
    overridden = [_override(data, override) for override in overrides]
    problems = component_problems(data, registry)
    built = None
    try:
        built = Recipe(**data)
    except RecipeError as error:
        problems += error.problems
    if problems or built is None:
        placed = [
            problem._replace(
                line=None if problem.path.startswith(tuple(overridden)) else _line(problem.path, lines)
            )
            for problem in problems
        ]
        raise RecipeError(sorted(placed, key=lambda problem: problem.line or 0), str(path))
    return complete(built, registry)


def parse(text: str, origin: str = "recipe") -> tuple[dict[str, Any], dict[str, int]]:
    """Return what a YAML text holds, and the line of every dotted path in it."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        lines = dict(_lines(node)) if node is not None else {}
        data = loader.construct_document(node) if node is not None else {}  # type: ignore[no-untyped-call]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise RecipeError([Problem("", f"not YAML: {error.problem}", line)], origin) from error
    except yaml.YAMLError as error:
        raise RecipeError([Problem("", f"not YAML: {error}")], origin) from error
    finally:
        loader.dispose()  # type: ignore[no-untyped-call]
    if not isinstance(data, dict):
        raise RecipeError([Problem("", f"a recipe is a mapping of keys, not {type(data).__name__}")], origin)
    return data, lines


class _Loader(yaml.SafeLoader):
    """Safe YAML with the scalars of YAML 1.2: `1e-4` is a number and `no` is a word."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":float", ":timestamp"))
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true|false", re.I), list("tTfF"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?|[-+]?\.inf|\.nan", re.I),
    list("-+0123456789."),
)


def _lines(node: yaml.Node, path: str = "") -> Iterator[tuple[str, int]]:
    children: list[tuple[str, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        children = [(str(key.value), key, value) for key, value in node.value]
        seen: set[str] = set()
        for name, key, _ in children:
            if name in seen:
                raise yaml.MarkedYAMLError(problem=f"key {name!r} stands twice", problem_mark=key.start_mark)
            seen.add(name)
    elif isinstance(node, yaml.SequenceNode):
        children = [(str(number), value, value) for number, value in enumerate(node.value)]
    for name, place, value in children:
        inner = f"{path}.{name}" if path else name
        yield inner, place.start_mark.line + 1
        yield from _lines(value, inner)


def _line(path: str, lines: Mapping[str, int]) -> int | None:
    """Return the line of a path, or of the nearest part around it that stands in the file."""
    while path and path not in lines:
        path = path.rpartition(".")[0]
    return lines.get(path)


def _override(data: dict[str, Any], override: str) -> str:
    """Set a dotted path in place and return the path."""
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise RecipeError([Problem(override, "an override is written path=value, such as train.lr=1e-4")])
    *parents, last = path.split(".")
    section = data
    for parent in parents:
        section = section.setdefault(parent, {})
        if not isinstance(section, dict):
            raise RecipeError([Problem(path, f"{parent!r} holds {section!r} and has no keys to override")])
    section[last] = parse(f"value: {text}", override)[0]["value"]
    return path


def _from_python(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    from fusion.recipe import Recipe

    recipe = runpy.run_path(str(path)).get("recipe")
    if not isinstance(recipe, Recipe):
        raise RecipeError([Problem("", "has no variable `recipe` that holds a fusion.Recipe")], str(path))
    return recipe.model_dump(mode="json"), {}
