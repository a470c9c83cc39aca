"""Turn what a recipe names into what it means: look components up, check their options, build them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fusion import options
from fusion.batch import Source, Stream
from fusion.errors import DataError, FusionError, PluginError, Problem, RecipeError
from fusion.recipe import Pick, Recipe, Tune
from fusion.registry import Registry
from fusion.sharing import sharing

if TYPE_CHECKING:
    from fusion.augmentation import Chance
    from fusion.encoder import Encoder
    from fusion.model import Model
    from fusion.tuning import Tuning


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


def picks(recipe: Mapping[str, Any]) -> Iterator[Named]:
    """Yield every place of a recipe, as plain data that may be malformed, where a component is picked."""
    evaluation = recipe.get("evaluate")
    sections = [
        ("sources", "source", recipe.get("sources"), {"weight"}),
        ("encoders", "encoder", recipe.get("encoders"), {"tune"}),
        ("objectives", "objective", recipe.get("objectives"), {"weight"}),
    ]
    augmented = recipe.get("augment")
    for modality, steps in augmented.items() if isinstance(augmented, Mapping) else ():
        if isinstance(steps, list):
            sections.append((f"augment.{modality}", "augmentation", dict(enumerate(steps)), {"chance"}))
    if isinstance(evaluation, Mapping):
        sections.append(("evaluate.sources", "source", evaluation.get("sources"), set()))
    for path, kind, section, core in sections:
        for key, given in section.items() if isinstance(section, Mapping) else ():
            if not isinstance(given, dict):
                continue
            if isinstance(given.get("name"), str):
                yield Named(f"{path}.{key}", kind, frozenset(core | {"name"}), given)
            tune = given.get("tune") if kind == "encoder" else None
            if isinstance(tune, dict) and isinstance(tune.get("mode", "full"), str):
                named = tune if "mode" in tune else {"mode": "full", **tune}
                yield Named(f"{path}.{key}.tune", "tuning", frozenset({"mode", "lr_scale"}), named, "mode")
    fuser = recipe.get("fuser")
    if isinstance(fuser, dict) and isinstance(fuser.get("name", "mean"), str):
        named = fuser if "name" in fuser else {"name": "mean", **fuser}
        yield Named("fuser", "fuser", frozenset({"modality_dropout", "name"}), named)


def component_problems(recipe: Mapping[str, Any], registry: Registry) -> list[Problem]:
    """Return what is wrong with the components of a recipe: unknown names, unknown or ill-typed options."""
    problems = []
    for pick in picks(recipe):
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
    for pick in picks(data):
        component = registry.find(pick.kind, pick.name).component
        pick.given.update(options.check(component, pick.options, pick.path)[0])
    return Recipe(**data)


def shrink(recipe: Recipe, registry: Registry) -> Recipe:
    """Return a version of the recipe that runs in seconds: few steps, few rows, and tiny components.

    An encoder takes its tiny options whatever the recipe says, which may be weights of gigabytes; of other
    components an option that the recipe sets to something of its own stays.
    """
    data = recipe.model_dump(mode="json")
    for pick in picks(data):
        component = registry.find(pick.kind, pick.name).component
        defaults = {name: option.default for name, option in component.options().items()}
        for name, small in component.tiny.items():
            if pick.kind == "encoder" or pick.given.get(name, defaults[name]) == defaults[name]:
                pick.given[name] = small
    data["train"] |= {
        "steps": min(8, recipe.train.steps),
        "batch": min(16, recipe.train.batch),
        "workers": 0,
        "log_every": 2,
    }
    data["evaluate"]["limit"] = min(32, recipe.evaluate.limit or 32)
    return complete(Recipe(**data), registry)


def build_sources(
    chosen: Mapping[str, Pick], registry: Registry, path: str = "sources"
) -> dict[str, Source | Stream]:
    """Build the sources of a section. Raises DataError for one that cannot be built, naming its path."""
    sources: dict[str, Source | Stream] = {}
    for name, pick in chosen.items():
        try:
            source = sources[name] = _build(registry, "source", pick, f"{path}.{name}")
            if not isinstance(source, Stream):
                len(source)
        except FileNotFoundError as error:
            raise DataError(f"{path}.{name}: no such file: {error.filename}") from error
        except (OSError, DataError) as error:
            raise DataError(f"{path}.{name}: {error}") from error
    return sources


def build_tables(
    chosen: Mapping[str, Pick], registry: Registry, path: str = "evaluate.sources"
) -> dict[str, Source]:
    """Build sources that have random access. Raises DataError, also for a stream."""
    tables: dict[str, Source] = {}
    for name, source in build_sources(chosen, registry, path).items():
        if isinstance(source, Stream):
            raise DataError(f"{path}.{name} is a stream, which can only be trained on; give random access")
        tables[name] = source
    return tables


def build_augmentations(recipe: Recipe, registry: Registry) -> dict[str, list["Chance"]]:
    """Build what varies the samples of each modality in training, in the order of the recipe."""
    from fusion.augmentation import Augmentation, Chance

    return {
        modality: [
            Chance(
                _expect(Augmentation, _build(registry, "augmentation", pick, path), pick, registry),
                pick.chance,
            )
            for number, pick in enumerate(steps)
            for path in [f"augment.{modality}.{number}"]
        ]
        for modality, steps in recipe.augment.items()
    }


def build_model(recipe: Recipe, registry: Registry, assets: Path | None = None) -> "Model":
    """Build encoders, fuser and objectives; seed torch before for known random weights.

    `assets` is the folder of a run in which its encoders left what they are built from.
    """
    from fusion.encoder import Encoder
    from fusion.fuser import Fuser
    from fusion.model import Model, check_names
    from fusion.objective import Objective

    check_names(recipe.encoders, recipe.objectives)  # fusers keep parts by modality, too
    common = (recipe.modalities, recipe.width)
    folders = {name: assets / name for name in recipe.encoders if assets and (assets / name).is_dir()}
    with sharing():
        encoders = {
            name: _expect(
                Encoder,
                _build(registry, "encoder", pick, f"encoders.{name}", *filter(None, [folders.get(name)])),
                pick,
                registry,
            )
            for name, pick in recipe.encoders.items()
        }
    fuser = _expect(Fuser, _build(registry, "fuser", recipe.fuser, "fuser", *common), recipe.fuser, registry)
    objectives = {
        name: _expect(
            Objective, _build(registry, "objective", pick, f"objectives.{name}", *common), pick, registry
        )
        for name, pick in recipe.objectives.items()
    }
    weights = {name: pick.weight for name, pick in recipe.objectives.items()}
    tunings = {
        name: _tune(encoders[name], pick.tune, f"encoders.{name}.tune", registry)
        for name, pick in recipe.encoders.items()
    }
    return Model(encoders, recipe.width, fuser, objectives, weights, origins(recipe, registry), tunings)


def _tune(encoder: "Encoder", pick: Tune, path: str, registry: Registry) -> "Tuning":
    from fusion.tuning import Tuning

    tuning: Tuning = _expect(Tuning, _build(registry, "tuning", pick, path), pick, registry)
    try:
        tuning.prepare(encoder)
    except ValueError as error:
        raise RecipeError([Problem(path, f"{pick.mode}: {error}")]) from error
    return tuning


def origins(recipe: Recipe, registry: Registry) -> dict[str, str]:
    """Return for each part of the model, by path, its name and the plugin that it comes from."""
    return {
        pick.path: f"{pick.name} of {registry.find(pick.kind, pick.name).origin}"
        for pick in picks(recipe.model_dump(mode="json"))
        if pick.kind not in ("source", "augmentation", "tuning")  # a run can be used where its data are not
    }


def _build(registry: Registry, kind: str, pick: Pick | Tune, path: str, *positional: Any) -> Any:
    offer = registry.find(kind, pick.name)
    values, problems = options.check(offer.component, pick.options, path)
    if problems:
        raise RecipeError(problems)
    try:
        return offer.component.resolve()(*positional, **values)
    except (FusionError, OSError):
        raise
    except ValueError as error:  # options that fit one by one, but not together
        raise RecipeError([Problem(path, f"{pick.name}: {error}")]) from error
    except Exception as error:
        raise PluginError(f"{path}: {pick.name} of {offer.origin} cannot be built: {error!r}") from error


def _expect(kind: type[Any], built: Any, pick: Pick | Tune, registry: Registry) -> Any:
    if not isinstance(built, kind):
        offer = registry.find(kind.__name__.lower(), pick.name)
        raise PluginError(
            f"{pick.name} of {offer.origin} builds a {type(built).__name__}, not a fusion.{kind.__name__}"
        )
    return built
