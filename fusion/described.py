"""What a component is, for whoever may pick it: of `fusion plugins show`, and of its page."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import yaml

from fusion.component import Component, Option
from fusion.registry import Offer

PLACES = {
    "encoder": "encoders:\n  {modality}: {pick}",
    "fuser": "fuser: {pick}",
    "objective": "objectives:\n  {name}: {pick}",
    "source": "sources:\n  seen: {pick}",
    "augmentation": "augment:\n  {modality}: [{pick}]",
    "tuning": "encoders:\n  text: {{name: scratch-text, tune: {pick}}}",
    "prior": "prior: {pick}",
    "attack": "evaluate:\n  attack: {pick}",
    "logger": "train:\n  track: [{pick}]",
}
"""Where a recipe picks a component of a kind."""

COMMANDS = {
    "corruption": "fusion evaluate runs/mine --stress corruption --kinds {name}",
    "estimator": "fusion rank mine.yaml --over init=runs/mine,null --by {name}",
    "merging": "fusion merge runs/a runs/b --method {name}",
    "compression": "fusion compress runs/mine --with {name}",
}
"""Where a command does, of kinds that no recipe picks."""

SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "multiple_of": "a multiple of", "min_length": "length ≥"}
PAPER = re.compile(r"\b([A-Z][\w-]+(?:(?: [A-Z][\w-]+)? et al\.| (?:and|&) [A-Z][\w-]+)?) (\d{4})\b")


class Row(NamedTuple):
    """An option, what it may be, and what it is unless a recipe says otherwise."""

    name: str
    type: str
    allowed: str
    required: bool
    default: Any  # None where it is required

    def __str__(self) -> str:
        default = "" if self.required else f" = {self.default!r}"
        said = [part for part in ("required" if self.required else "", self.allowed) if part]
        return f"{self.name}: {self.type}{default}" + (f"  ({', '.join(said)})" if said else "")


def rows(component: Component) -> list[Row]:
    """Return the options of a component. Raises PluginError."""
    return [
        Row(
            option.name,
            str(option._replace(default=inspect.Parameter.empty)).partition(": ")[2],
            ", ".join(_bounds(option.type)),
            option.required,
            None if option.required else option.default,
        )
        for option in component.options().values()
    ]


def doc(component: Component) -> str:
    return inspect.getdoc(component.resolve()) or ""


def module(component: Component) -> str:
    """Return where a component lives, as "package.module:attribute"."""
    found = component.resolve()
    return component.build if isinstance(component.build, str) else f"{found.__module__}:{found.__qualname__}"


def papers(component: Component) -> list[str]:
    """Return the authors and years that a docstring names, such as "Hu et al. 2022"."""
    found = PAPER.findall(" ".join(doc(component).split()))
    return list(dict.fromkeys(f"{who} {year}" for who, year in found))


def language(kind: str) -> str:
    return "yaml" if kind in PLACES else "console"


def snippet(offer: Offer) -> str:
    """Return how a recipe, or a command, picks a component; what it requires is as in its tiny build."""
    component = offer.component
    if offer.kind in COMMANDS:
        return COMMANDS[offer.kind].format(name=component.name)
    required = [option for option in component.options().values() if option.required]
    key = "mode" if offer.kind == "tuning" else "name"
    given = {key: component.name} | {option.name: _example(component, option) for option in required}
    pick = yaml.safe_dump(given, default_flow_style=True, sort_keys=False, width=10_000).strip()
    modality = component.modality or component.name.partition("-")[0]
    return PLACES[offer.kind].format(pick=pick, name=component.name, modality=modality)


def _example(component: Component, option: Option) -> Any:
    value = component.tiny[option.name]  # what has no default has to be there
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _bounds(annotation: Any) -> Iterator[str]:
    """Say what pydantic holds a value to, beside its type; what holds for the parts of one says so."""
    if get_origin(annotation) is not Annotated:
        for part in get_args(annotation):
            each = "each " if get_origin(annotation) in (list, tuple, dict) else ""
            yield from (each + bound for bound in _bounds(part))
        return
    inner, *marks = get_args(annotation)
    yield from _bounds(inner)
    for mark in marks:
        for one in getattr(mark, "metadata", [mark]):
            yield from (f"{sign} {getattr(one, key)}" for key, sign in SIGNS.items() if hasattr(one, key))
