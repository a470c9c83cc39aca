"""Read a recipe from a name, a YAML file or a .py file, with overrides, and say where it is wrong."""

import re
import runpy
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from fusion.errors import Problem, RecipeError, unknown
from fusion.recipe.text import parse, read

if TYPE_CHECKING:
    from fusion.recipe.schema import Recipe
    from fusion.registry import Registry

_package = Path(__file__).parents[1]
SHIPPED = next(path for path in (_package / "recipes", _package.parent / "recipes") if path.is_dir())


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
        from fusion.recipe.schema import Recipe

        data, overridden = self.overridden(overrides)
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

    def overridden(self, overrides: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        """Return the data with these overrides, and their paths."""
        data = deepcopy(self.data)
        return data, [_override(data, override) for override in overrides]


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
    data, lines = _from_python(path, registry) if path.suffix == ".py" else parse(read(path), str(path))
    if path.name != "recipe.yaml":
        data.setdefault("name", re.sub(r"[^\w.-]", "-", path.stem).lstrip(".-") or "run")
    return Draft(data, lines, str(path))


def run_script(path: Path, registry: "Registry") -> ModuleType:
    """Run a .py file, add what its hooks offer to `registry`, by the file's name, and return its variables.

    Raises PluginError when a plugin of that name is there already.
    """
    script = ModuleType(path.stem)
    vars(script).update(runpy.run_path(str(path)))
    registry.add(path.stem, script)
    return script


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
    from fusion.recipe.schema import Recipe

    recipe = vars(run_script(path, registry)).get("recipe")
    if not isinstance(recipe, Recipe):
        raise RecipeError([Problem("", "has no variable `recipe` that holds a fusion.Recipe")], str(path))
    return recipe.model_dump(mode="json", exclude_unset=True), {}
