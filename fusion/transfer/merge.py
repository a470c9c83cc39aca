"""Make one run of several by merging their weights."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fusion import build, options
from fusion import run as runs
from fusion.errors import RecipeError, RunError, unknown
from fusion.hub.fetch import opened
from fusion.merging import Merging
from fusion.model import Model
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.run import Run
from fusion.training.dry_run import try_evaluation
from fusion.training.finish import finish
from fusion.training.launch import launch
from fusion.transfer.members import Member, base_of, expect_same, expect_same_components, member, rows
from fusion.transfer.mixture import Mixture, owner
from fusion.transfer.original import plain
from fusion.transfer.trials import Trials


def merge(
    given: Sequence[str | Path],
    out: str | Path | None = None,
    *,
    method: str,
    settings: Mapping[str, Any] | None = None,
    weights: Sequence[float] = (),
    parts: Mapping[str, Sequence[float]] | None = None,
    base: str | Path | None = None,
    by: str | None = None,
    curve: Sequence[str] = (),
    overrides: Sequence[str] = (),
    registry: Registry | None = None,
) -> Run:
    """Merge the weights of runs with the same tensors, evaluate the model, and return it as a run.

    `settings` are options of the method. `weights` are those of the runs, `parts` those for a modality (its
    encoder and align), for "fuser" or "objectives.NAME". `base` is what the runs started from, by default
    what the manifests of all name. `by` is a key of metrics.json, after a "-" where less is better, for a
    method that chooses. `curve` are two such keys, measured also for single weights of 0, 0.1 ... 1, and
    drawn in the report. `overrides` say on which rows. Recipe and options are those of the first run.

    Raises RecipeError, DataError, PluginError or RunError, before anything is written.
    """
    registry = registry or Registry()
    place = Path(out) if out else None
    merging = _build(method, settings or {}, registry)
    if not given:
        raise RunError("no runs to merge; name at least one")
    with TemporaryDirectory() as folder:
        members = [member(str(path), opened(path), registry, Path(folder)) for path in given]
        recipe, model = _model(members, overrides, registry)
        learned = frozenset(name for name, _ in model.named_parameters())
        started = None
        if merging.needs_base:
            started = base_of(members, None if base is None else str(base), registry, Path(folder))
            expect_same(members[0], started, learned)
        elif base is not None:
            raise RunError(f"{method} reads no base; leave --base out, or use another method")
        known = dict.fromkeys(owner(name) for name in model.state_dict())
        own = {
            part: _weigh(merging, method, numbers, members, known, part)
            for part, numbers in (parts or {}).items()
        }
        mixture = Mixture(merging, members, started, own, learned)
        runs.expect_free(place)
        try_evaluation(recipe, model, registry)
        accelerator = launch(recipe.train.model_copy(update={"precision": "fp32"}))
        if accelerator.num_processes > 1:
            raise RunError("merging is the work of one process; start it without torchrun")
        model.to(accelerator.device)

        trials = Trials(mixture, model, recipe, accelerator, registry)
        line = trials.curve(lambda numbers: _weigh(merging, method, numbers, members), curve) if curve else {}
        chosen = merging.choose(
            _weigh(merging, method, weights, members), lambda trial: trials.measure(trial, by)
        )
        mixture.fill(model, chosen)
    used = [one for number, one in enumerate(members) if any(w[number] for w in (chosen, *own.values()))]
    metrics = {
        **rows(used if started is None or base is None else [*used, started]),
    }
    record = {
        "method": method,
        "options": options.check(registry.find("merging", method).component, settings or {}, "")[0],
        "runs": [
            {"run": one.name, "weight": weight, "sha256": one.sha256}
            for one, weight in zip(members, chosen, strict=True)
        ],
        **({"parts": own} if own else {}),
        **({"base": {"init": started.name, "sha256": started.sha256}} if started is not None else {}),
        **({"by": by, "measured": trials.told} if trials.told else {}),
        **({"curve": line} if line else {}),
    }
    run = runs.create(recipe.name, recipe, place)
    finish(run, recipe, model, metrics, {"merge": record}, accelerator, registry)
    return run


def _build(method: str, settings: Mapping[str, Any], registry: Registry) -> Merging:
    try:
        return build.build_merging(method, settings, registry)
    except RecipeError as error:
        raise RecipeError(error.problems, "merge") from error


def _model(members: Sequence[Member], overrides: Sequence[str], registry: Registry) -> tuple[Recipe, Model]:
    """Return the recipe of the merged run, and its model with whatever weights, if all runs fit together."""
    first, *others = members
    assert first.run is not None
    for other in others:
        assert other.run is not None
        expect_same_components(first.run, other.run)
        expect_same(first, other)
    recipe = plain(first.run, "merged", overrides, registry)
    folders = {name: first.run.assets / name for name in recipe.modalities}
    model = build.assemble(recipe, registry, folders)
    found = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if found != {name: tensor.shape for name, tensor in first.tensors.items()}:
        raise RunError(
            f"{first.name} builds a model with other tensors than it holds; "
            "install the versions of plugins that its manifest.json names"
        )
    return recipe, model


def _weigh(
    merging: Merging,
    method: str,
    numbers: Sequence[float],
    members: Sequence[Member],
    known: Iterable[str] = (),
    part: str | None = None,
) -> list[float]:
    if part is not None and part not in known:
        raise RunError(unknown("part", part, known))
    try:
        return merging.weigh(numbers, len(members))
    except ValueError as error:
        raise RunError(f"{method}{f' of {part}' if part else ''}: {error}") from error
