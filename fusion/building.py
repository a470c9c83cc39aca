"""Build one component that a recipe picks, after those that its own options pick."""

from pathlib import Path
from typing import Any

from fusion import options
from fusion.errors import FusionError, PluginError, Problem, RecipeError
from fusion.recipe.picks import Pick, Tune
from fusion.registry import Registry


def build_component(registry: Registry, kind: str, pick: Pick | Tune, path: str, *positional: Any) -> Any:
    """Build what is picked at a path of the recipe, with what the framework gives its kind.

    An encoder within another is given the folder of its name in that of the other's assets. Raises
    RecipeError for options that do not fit, PluginError for a component that cannot be built.
    """
    offer = registry.find(kind, pick.name)
    component = offer.component
    values, problems = options.check(component, pick.options, path)
    if problems:
        raise RecipeError(problems)
    for key, option in component.options().items():
        if option.part is not None and values[key] is not None:
            folders = [given / key for given in positional if isinstance(given, Path)]
            existing = [folder for folder in folders if folder.is_dir()]
            values[key] = build_as(option.part, Pick(**values[key]), f"{path}.{key}", registry, *existing)
    if kind == "encoder" and not component.positional():  # it has no assets, but what is within it may
        positional = ()
    try:
        return component.resolve()(*positional, **values)
    except (FusionError, OSError):
        raise
    except ValueError as error:  # options that fit one by one, but not together
        raise RecipeError([Problem(path, f"{pick.name}: {error}")]) from error
    except Exception as error:
        raise PluginError(f"{path}: {pick.name} of {offer.origin} cannot be built: {error!r}") from error


def build_as(kind: type[Any], pick: Pick | Tune, path: str, registry: Registry, *positional: Any) -> Any:
    """Build what is picked, which has to be of this class. Raises PluginError where it is not."""
    built = build_component(registry, kind.__name__.lower(), pick, path, *positional)
    if not isinstance(built, kind):
        offer = registry.find(kind.__name__.lower(), pick.name)
        raise PluginError(
            f"{pick.name} of {offer.origin} builds a {type(built).__name__}, not a fusion.{kind.__name__}"
        )
    return built
