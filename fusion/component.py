"""The component: a named, buildable part that a plugin offers."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from fusion.errors import PluginError

API = 1
"""Version of the contract between the core and its plugins; a plugin may state its own as FUSION_API."""

CORE_KEYS = frozenset({"name", "weight", "without", "tune", "cache", "modality_dropout", "chance"})
"""What the core reads where a component is picked; the other keys are the component's options."""

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

KEBAB = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
MODALITY = re.compile(r"[a-z][a-z0-9_]*")


PARTS = ("augmentation", "compression", "encoder", "estimator", "merging", "tuning")
"""Kinds that are built from options alone, so that one may be an option of another component."""


_CLASSES = {(f"fusion.{kind}", kind.capitalize()) for kind in PARTS}


class Option(NamedTuple):
    """One keyword-only parameter of a component's `build`: what a recipe may set."""

    name: str
    type: Any
    default: Any  # `inspect.Parameter.empty` when the recipe has to give it

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    @property
    def part(self) -> type | None:
        """The class of what the recipe picks here, such as `fusion.Encoder`; None for plain data."""
        for kind in (self.type, *get_args(self.type)):
            if isinstance(kind, type) and (kind.__module__, kind.__name__) in _CLASSES:
                return kind
        return None

    def __str__(self) -> str:
        return f"{self.name}: {_written(self.type)}" + ("" if self.required else f" = {self.default!r}")


def _written(annotation: Any) -> str:
    """Return a type as it is written, without the bounds that pydantic reads."""
    if get_origin(annotation) is Annotated:
        return _written(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return " | ".join(_written(part) for part in get_args(annotation))
    if annotation is NoneType or annotation is ...:
        return "None" if annotation is NoneType else "..."
    if get_origin(annotation) in (list, tuple, dict):
        inner = ", ".join(_written(part) for part in get_args(annotation))
        return f"{get_origin(annotation).__name__}[{inner}]"
    plain = isinstance(annotation, type) and not get_args(annotation)
    return annotation.__name__ if plain else str(annotation).replace("typing.", "")


@dataclass(frozen=True)
class Component:
    """A part that a recipe can pick by name.

    `build` is a callable or the string "package.module:attribute", which is imported on first use.
    Its positional parameters come from the framework, its keyword-only parameters are the options that
    a recipe may set. `tiny` holds options for a build of seconds with random weights and no network; `needs`
    is what has to be installed beside its plugin, as pip names it.
    """

    name: str
    build: str | Callable[..., Any]
    modality: str | None = None
    tiny: Mapping[str, Any] = field(default_factory=dict)
    needs: str | None = None

    def __post_init__(self) -> None:
        if not KEBAB.fullmatch(self.name):
            raise PluginError(f"component name {self.name!r} is not kebab-case; use a name like 'my-encoder'")
        if self.modality is not None and not MODALITY.fullmatch(self.modality):
            raise PluginError(
                f"component {self.name}: modality {self.modality!r} is not a lower-case identifier; "
                "use a name like 'depth' or 'heart_rate'"
            )

    def resolve(self) -> Callable[..., Any]:
        """Import and return what `build` points to. Raises PluginError when it cannot be imported."""
        if not isinstance(self.build, str):
            return self.build
        module, _, attribute = self.build.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (Exception, SystemExit) as error:  # a stranger's module may raise anything when imported
            raise PluginError(f"component {self.name}: cannot import {self.build!r}: {error!r}") from error
        if not callable(found):
            raise PluginError(f"component {self.name}: {self.build!r} is not callable")
        return found  # type: ignore[no-any-return]

    def positional(self) -> list[str]:
        """Return the names of what `build` takes from the framework. Raises PluginError."""
        parameters = inspect.signature(self.resolve()).parameters.values()
        return [parameter.name for parameter in parameters if parameter.kind in POSITIONAL]

    def options(self) -> dict[str, Option]:
        """Read the options off the signature of `build`, in its order. Raises PluginError."""
        signature = inspect.signature(self.resolve(), eval_str=True)
        options = {
            parameter.name: Option(parameter.name, parameter.annotation, parameter.default)
            for parameter in signature.parameters.values()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }
        for name in options.keys() & CORE_KEYS:
            raise PluginError(f"component {self.name}: the option {name!r} is a key of the core; rename it")
        return options


def functions_in(package: str, modality: str | None = None) -> list[Component]:
    """Return a component for each module of a package: its build is the function that has the module's name.

    "white_noise.py" is "white-noise", and "audio-white-noise" of the modality audio. Only the package itself
    is imported.
    """
    modules = sorted(
        module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__)
    )
    prefix = "" if modality is None else f"{modality}-"
    return [
        Component(prefix + name.replace("_", "-"), f"{package}.{name}:{name}", modality) for name in modules
    ]
