"""Every place of a recipe where a component is picked: checked, completed, made tiny."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

from fusion import options
from fusion.errors import PluginError, Problem, RecipeError
from fusion.recipe.picks import AdversarialPick, AttackPick, StressedBy, Tune
from fusion.recipe.schema import Recipe
from fusion.registry import Registry

TUNE = frozenset(Tune.model_fields)
ATTACKS: dict[str, type[AttackPick]] = {"evaluate.attack": StressedBy, "train.adversarial": AdversarialPick}


class Named(NamedTuple):
    """A place in a recipe where a component is picked: its path, its kind and the keys of the core."""

    path: str
    kind: str
    core: frozenset[str]
    given: dict[str, Any]
    by: str = "name"  # the key that picks

    @property
    def name(self) -> str:
        return str(self.given[self.by])

    @property
    def options(self) -> dict[str, Any]:
        return {key: value for key, value in self.given.items() if key not in self.core}


def picks(recipe: Mapping[str, Any], registry: Registry) -> Iterator[Named]:
    """Yield every place of a recipe, as plain data that may be malformed, where a component is picked.

    A component comes before those that its own options pick, and what it is given may be changed in between.
    """
    for pick in _sections(recipe):
        yield from _within(pick, registry)


def _within(pick: Named, registry: Registry) -> Iterator[Named]:
    yield pick
    nested = {key: given for key, given in pick.options.items() if _names_one(given)}
    try:
        options = registry.find(pick.kind, pick.name).component.options() if nested else {}
    except PluginError:  # it is told where the component itself is looked up
        return
    for key, given in nested.items():
        part = options[key].part if key in options else None
        if part is not None:
            inner = Named(f"{pick.path}.{key}", part.__name__.lower(), frozenset({"name"}), given)
            yield from _within(inner, registry)


def _names_one(given: Any) -> bool:
    return isinstance(given, dict) and isinstance(given.get("name"), str)


def _sections(recipe: Mapping[str, Any]) -> Iterator[Named]:
    sections = [
        ("sources", "source", recipe.get("sources"), {"weight", "without"}),
        ("encoders", "encoder", recipe.get("encoders"), {"tune", "cache"}),
        ("objectives", "objective", recipe.get("objectives"), {"weight"}),
    ]
    augmented = recipe.get("augment")
    for modality, steps in augmented.items() if isinstance(augmented, Mapping) else ():
        if isinstance(steps, list):
            sections.append((f"augment.{modality}", "augmentation", dict(enumerate(steps)), {"chance"}))
    for name in ("evaluate", "best"):
        section = recipe.get(name)
        if isinstance(section, Mapping):
            for key in ("sources", "calibrate", "foreign") if name == "evaluate" else ("sources",):
                sections.append((f"{name}.{key}", "source", section.get(key), set()))
    train = recipe.get("train")
    if isinstance(train, Mapping) and isinstance(train.get("track"), list):
        sections.append(("train.track", "logger", dict(enumerate(train["track"])), set()))
    for path, kind, section, core in sections:
        for key, given in section.items() if isinstance(section, Mapping) else ():
            if not isinstance(given, dict):
                continue
            if _names_one(given):
                yield Named(f"{path}.{key}", kind, frozenset(core | {"name"}), given)
            tune = given.get("tune") if kind == "encoder" else None
            if isinstance(tune, dict) and isinstance(tune.get("mode", "full"), str):
                named = tune if "mode" in tune else {"mode": "full", **tune}
                yield Named(f"{path}.{key}.tune", "tuning", TUNE, named, "mode")
    fuser = recipe.get("fuser")
    if isinstance(fuser, dict) and isinstance(fuser.get("name", "mean"), str):
        named = fuser if "name" in fuser else {"name": "mean", **fuser}
        yield Named("fuser", "fuser", frozenset({"modality_dropout", "name"}), named)
    for path, attacked in ATTACKS.items():
        section, _, key = path.partition(".")
        within = recipe.get(section)
        attack = within.get(key) if isinstance(within, Mapping) else None
        if isinstance(attack, dict) and isinstance(attack.get("name", "default"), str):
            named = attack if "name" in attack else {"name": attacked.model_fields["name"].default, **attack}
            yield Named(path, "attack", frozenset(attacked.model_fields), named)
    prior = recipe.get("prior")
    if isinstance(prior, dict) and _names_one(prior):
        yield Named("prior", "prior", frozenset({"name"}), prior)


def component_problems(recipe: Mapping[str, Any], registry: Registry) -> list[Problem]:
    """Return what is wrong with the components of a recipe: unknown names, unknown or ill-typed options."""
    problems = []
    for pick in picks(recipe, registry):
        try:
            offer = registry.find(pick.kind, pick.name)
        except PluginError as error:
            problems.append(Problem(f"{pick.path}.{pick.by}", str(error)))
            continue
        try:
            problems += options.check(offer.component, pick.options, pick.path, pick.core)[1]
        except PluginError as error:
            problems.append(Problem(f"{pick.path}.{pick.by}", f"{error} ({offer.origin})"))
    return problems


def complete(recipe: Recipe, registry: Registry) -> Recipe:
    """Return the recipe with every option written out, defaults included, so that it can be run again.

    Raises RecipeError with all problems at once.
    """
    data = recipe.model_dump(mode="json")
    problems = component_problems(data, registry)
    if problems:
        raise RecipeError(problems)
    for pick in picks(data, registry):
        component = registry.find(pick.kind, pick.name).component
        pick.given.update(options.check(component, pick.options, pick.path)[0])
    return Recipe(**data)


def shrink(recipe: Recipe, registry: Registry) -> Recipe:
    """Return a version of the recipe that runs in seconds: few steps, few rows, and tiny components.

    An encoder takes its tiny options whatever the recipe says, which may be weights of gigabytes; of other
    components an option that the recipe sets to something of its own stays.
    """
    data = recipe.model_dump(mode="json")
    for pick in picks(data, registry):
        component = registry.find(pick.kind, pick.name).component
        defaults = {name: option.default for name, option in component.options().items()}
        for name, small in component.tiny.items():
            if pick.kind == "encoder" or pick.given.get(name, defaults[name]) == defaults[name]:
                pick.given[name] = deepcopy(small)  # it may hold a component, which is made tiny in turn
    data["train"] |= {
        "steps": min(8, recipe.train.steps),
        "batch": 16 if recipe.train.batch == "auto" else min(16, recipe.train.batch),
        "workers": 0,
        "log_every": 2,
    }
    data |= {"init": None, "prior": None}  # the weights are not tiny, and a prior may need them
    data["evaluate"]["limit"] = min(32, recipe.evaluate.limit or 32)
    return complete(Recipe(**data), registry)
