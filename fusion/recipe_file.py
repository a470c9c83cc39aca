"""Read a recipe from a name, a YAML file or a .py file, with overrides, and say where it is wrong."""

import re
import runpy
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from fusion.errors import Problem, RecipeError, unknown

if TYPE_CHECKING:
    from fusion.recipe import Recipe
    from fusion.registry import Registry

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
        raise RecipeError([Problem("", unknown("recipe", str(recipe), shipped()))], origin="")
    return shipped()[str(recipe)]


class Draft(NamedTuple):
    """What a recipe's file holds: plain data, the line of every dotted path in it, and the file."""

    data: dict[str, Any]
    lines: dict[str, int]
    origin: str

    def recipe(self, overrides: Sequence[str], registry: "Registry") -> "Recipe":
        """Return the complete recipe with these overrides. Raises RecipeError with all problems."""
        from fusion.picks import complete, component_problems
        from fusion.recipe import Recipe

        data = deepcopy(self.data)
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
                    line=None
                    if any(f"{problem.path}.".startswith(f"{path}.") for path in overridden)
                    else _line(problem.path, self.lines)
                )
                for problem in problems
            ]
            raise RecipeError(sorted(placed, key=lambda problem: problem.line or 0), self.origin)
        return complete(built, registry)


def read_recipe(
    recipe: str | Path, overrides: Sequence[str] = (), registry: "Registry | None" = None
) -> "Recipe":
    """Return the recipe that a name, a YAML file or a .py file holds.

    A .py file has the recipe in the variable `recipe`, and may implement hooks: what they offer is added
    to `registry`, which training then has to be given too. `overrides` are dotted, such as "train.lr=1e-4".
    The result is complete: every option is written out. Raises RecipeError with all problems, each with
    its path and line.
    """
    from fusion.registry import Registry

    registry = registry or Registry()
    return draft(recipe, registry).recipe(overrides, registry)


def draft(recipe: str | Path, registry: "Registry") -> Draft:
    """Return what the file of a recipe holds, neither checked nor complete; see `read_recipe`."""
    path = find(recipe)
    data, lines = _from_python(path, registry) if path.suffix == ".py" else parse(_text(path), str(path))
    if path.name != "recipe.yaml":
        data.setdefault("name", re.sub(r"[^\w.-]", "-", path.stem).lstrip(".-") or "run")
    return Draft(data, lines, str(path))


def parse(text: str, origin: str = "recipe") -> tuple[dict[str, Any], dict[str, int]]:
    """Return what a YAML text holds, and the line of every dotted path in it."""
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines = dict(_lines(node)) if node is not None else {}
        data = loader.construct_document(node) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise RecipeError([Problem("", f"not YAML: {error.problem}", line)], origin) from error
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
        raise RecipeError([Problem("", f"a recipe is a mapping of keys, not {type(data).__name__}")], origin)
    return data, lines


def dump(data: Mapping[str, Any]) -> str:
    """Return the YAML text from which `parse` reads the same data."""
    text: str = yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


class _Loader(yaml.SafeLoader):
    """Safe YAML with the scalars of YAML 1.2: `1e-4` is a number and `no` is a word."""


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


def _lines(node: yaml.Node, path: str = "") -> Iterator[tuple[str, int]]:
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


def _from_python(path: Path, registry: "Registry") -> tuple[dict[str, Any], dict[str, int]]:
    from fusion.recipe import Recipe

    script = ModuleType(path.stem)
    vars(script).update(runpy.run_path(str(path)))
    registry.add(path.stem, script)
    recipe = vars(script).get("recipe")
    if not isinstance(recipe, Recipe):
        raise RecipeError([Problem("", "has no variable `recipe` that holds a fusion.Recipe")], str(path))
    return recipe.model_dump(mode="json", exclude_unset=True), {}


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError([Problem("", f"cannot be read as text: {error}")], str(path)) from error
