"""Build what a recipe names: sources, augmentations, and the model of encoders, fuser and objectives."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fusion import options
from fusion.batch import Source, Stream
from fusion.building import build_as, build_component
from fusion.errors import DataError, Problem, RecipeError
from fusion.recipe.picks import AttackPick, Pick, PriorPick, SourcePick
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.sharing import sharing
from fusion.without import without

if TYPE_CHECKING:
    from fusion.attack import Attack
    from fusion.augmentation import Chance
    from fusion.compression import Compression
    from fusion.encoder import Encoder
    from fusion.estimator import Estimator
    from fusion.logger import Logger
    from fusion.merging import Merging
    from fusion.model import Model
    from fusion.objective import Objective
    from fusion.prior import Earlier, Prior
    from fusion.tuning import Tuning


def build_sources(
    chosen: Mapping[str, Pick], registry: Registry, path: str = "sources"
) -> dict[str, Source | Stream]:
    """Build the sources of a section. Raises DataError for one that cannot be built, naming its path."""
    sources: dict[str, Source | Stream] = {}
    for name, pick in chosen.items():
        try:
            source = build_component(registry, "source", pick, f"{path}.{name}")
            sources[name] = without(source, pick.without) if isinstance(pick, SourcePick) else source
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
            Chance(build_as(Augmentation, pick, path, registry), pick.chance)
            for number, pick in enumerate(steps)
            for path in [f"augment.{modality}.{number}"]
        ]
        for modality, steps in recipe.augment.items()
    }


def build_model(recipe: Recipe, registry: Registry, folders: Mapping[str, Path] | None = None) -> "Model":
    """Build the model of a recipe, its encoders tuned; seed torch before for known random weights.

    `folders` are those in which encoders left what they are built from, by modality.
    """
    model = assemble(recipe, registry, folders)
    tune(model, recipe, registry)
    return model


def assemble(recipe: Recipe, registry: Registry, folders: Mapping[str, Path] | None = None) -> "Model":
    """Build encoders, fuser and objectives; the encoders are not tuned yet."""
    from fusion.encoder import Encoder
    from fusion.fuser import Fuser
    from fusion.model import Model, check_names

    check_names(recipe.encoders, recipe.objectives)  # fusers keep parts by modality, too
    common = (recipe.modalities, recipe.width)
    given = {name: [folder] for name, folder in (folders or {}).items() if folder.is_dir()}
    with sharing():
        encoders = {
            name: build_as(Encoder, pick, f"encoders.{name}", registry, *given.get(name, []))
            for name, pick in recipe.encoders.items()
        }
    fuser = build_as(Fuser, recipe.fuser, "fuser", registry, *common)
    objectives = {name: build_objective(recipe, name, registry) for name in recipe.objectives}
    weights = {name: pick.weight for name, pick in recipe.objectives.items()}
    return Model(encoders, recipe.width, fuser, objectives, weights, origins(recipe, registry))


def build_objective(recipe: Recipe, name: str, registry: Registry) -> "Objective":
    """Build one objective of a recipe."""
    from fusion.objective import Objective

    pick = recipe.objectives[name]
    given: list[Any] = [recipe.modalities, recipe.width]
    if "sources" in registry.find("objective", pick.name).component.positional():
        given.append(tuple(recipe.sources))
    return build_as(Objective, pick, f"objectives.{name}", registry, *given)  # type: ignore[no-any-return]


def tune(model: "Model", recipe: Recipe, registry: Registry) -> None:
    """Prepare the encoders of a model for how they learn. Raises RecipeError where they cannot."""
    from fusion.recompute import recompute

    for name, tuning in build_tunings(recipe, registry).items():
        try:
            model.tune(name, tuning)
        except ValueError as error:
            mode = recipe.encoders[name].tune.mode
            raise RecipeError([Problem(f"encoders.{name}.tune", f"{mode}: {error}")]) from error
    for name, pick in recipe.encoders.items():
        if not pick.tune.align:
            model.align[name].requires_grad_(False)
        if pick.tune.recompute:
            recompute(cast("Encoder", model.encoders[name]))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise RecipeError([Problem("encoders", "nothing of the model learns; change a `tune`")])


def build_tunings(recipe: Recipe, registry: Registry) -> dict[str, "Tuning"]:
    """Build what says how each encoder learns."""
    from fusion.tuning import Tuning

    return {
        name: build_as(Tuning, pick.tune, f"encoders.{name}.tune", registry)
        for name, pick in recipe.encoders.items()
    }


def build_estimators(chosen: Iterable[Any], registry: Registry) -> dict[str, "Estimator"]:
    """Build estimators, by name; each is given as its name, or as a mapping of its name and its options."""
    from fusion.estimator import Estimator

    estimators: dict[str, Estimator] = {}
    for given in chosen:
        options = given if isinstance(given, Mapping) else {"name": given}
        name = options.get("name")
        if not isinstance(name, str) or name in estimators:
            said = "stands twice" if name in estimators else "has no name"
            raise RecipeError([Problem("estimator", f"{given!r} {said}; give names, or {{name: NAME}}")])
        pick = Pick(**options)
        estimators[name] = build_as(Estimator, pick, f"estimator.{name}", registry)
    return estimators


def build_merging(name: str, options: Mapping[str, Any], registry: Registry) -> "Merging":
    """Build what makes one model of several. Raises RecipeError for options that it does not take."""
    from fusion.merging import Merging

    pick = Pick(name=name, **options)
    return build_as(Merging, pick, "set", registry)  # type: ignore[no-any-return]


def build_compression(name: str, options: Mapping[str, Any], registry: Registry) -> "Compression":
    """Build what makes a model smaller. Raises RecipeError for options that it does not take."""
    from fusion.compression import Compression

    pick = Pick(name=name, **options)
    return build_as(Compression, pick, name, registry)  # type: ignore[no-any-return]


def build_prior(pick: PriorPick, registry: Registry, earlier: "Earlier | None") -> "Prior":
    """Build what pulls the parameters back; `earlier` are the weights that the training starts from."""
    from fusion.prior import Prior

    prior: Prior = build_as(Prior, pick, "prior", registry, earlier)
    return prior


def build_attack(pick: AttackPick, path: str, registry: Registry) -> "Attack":
    """Return the attack with its options. Raises RecipeError for options that it does not take."""
    component = registry.find("attack", pick.name).component
    values, problems = options.check(component, pick.options, path)
    if problems:
        raise RecipeError(problems)
    return partial(component.resolve(), **values)


def build_loggers(recipe: Recipe, registry: Registry) -> dict[str, "Logger"]:
    """Build what follows the training, by name."""
    from fusion.logger import Logger

    return {
        pick.name: build_as(Logger, pick, f"train.track.{number}", registry)
        for number, pick in enumerate(recipe.train.track)
    }


def origins(recipe: Recipe, registry: Registry) -> dict[str, str]:
    """Return for each part of the model, by path, its name and the plugin that it comes from."""
    parts: dict[str, tuple[str, Pick]] = {
        f"encoders.{name}": ("encoder", pick) for name, pick in recipe.encoders.items()
    }
    parts["fuser"] = ("fuser", recipe.fuser)
    parts |= {f"objectives.{name}": ("objective", pick) for name, pick in recipe.objectives.items()}
    return {
        path: f"{pick.name} of {registry.find(kind, pick.name).origin}"
        for path, (kind, pick) in parts.items()
    }
