"""The model that a training starts from: freshly built, or with what an earlier run learned."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from torch import Tensor

from fusion import build
from fusion.encoder import Encoder
from fusion.errors import Problem, RecipeError, RunError
from fusion.hub.fetch import located
from fusion.model import Model, part_of
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.run import Run
from fusion.tensors import load_tensors
from fusion.transfer.original import original, rows_of, verify

NAMED = 4  # tensors of other shapes that are told by name


class Start(NamedTuple):
    """Which tensors of a model, by name, an earlier one has given."""

    origin: Mapping[str, str]  # "init": what the recipe says, and the "sha256" of the file
    taken: tuple[str, ...]
    reshaped: Mapping[str, str]  # of another shape there, so they are new; both shapes in words
    new: tuple[str, ...]  # not there
    unused: tuple[str, ...]  # only there
    rows: Mapping[str, int] | None  # what the earlier model was trained on, by modalities; None: unknown
    doubts: tuple[str, ...] = ()  # what may not be meant

    @property
    def untouched(self) -> list[str]:
        """The parts of the model of which nothing was taken, such as "encoders.image"."""
        taken = {part_of(name) for name in self.taken}
        new = dict.fromkeys(part_of(name) for name in (*self.reshaped, *self.new))
        return [part for part in new if part not in taken]

    @property
    def mismatched(self) -> list[str]:
        """The parts of which the earlier model has something, but nothing that fits."""
        there = {part_of(name) for name in (*self.reshaped, *self.unused)}
        return [part for part in self.untouched if part in there]

    def __str__(self) -> str:
        """Say in one line what became of each part of the model."""
        parts: dict[str, list[bool]] = {}
        for names, given in ((self.taken, True), ((*self.reshaped, *self.new), False)):
            for name in names:
                parts.setdefault(part_of(name), []).append(given)
        counts = ", ".join(f"{part} {sum(given)} of {len(given)}" for part, given in sorted(parts.items()))
        some = [f"; {name} is new: {shapes}" for name, shapes in self.reshaped.items()]
        other = "".join(some[:NAMED]) + (f"; and {len(some) - NAMED} more" if len(some) > NAMED else "")
        left = f"; {len(self.unused)} tensors of it have no place here" if self.unused else ""
        return f"tensors from {self.origin['init']}: {counts}{other}{left}"

    def metrics(self) -> dict[str, Any]:
        """Return what the earlier model was trained on, as metrics; that it is unknown where it is."""
        if self.rows is None:
            return {"init/rows_unknown": True}
        return {f"init/rows/{kind}": count for kind, count in sorted(self.rows.items())}

    def record(self) -> dict[str, Any]:
        """Return what the manifest keeps."""
        names = {"new": list(self.new), "unused": list(self.unused), "reshaped": dict(self.reshaped)}
        return {**self.origin, "taken": len(self.taken), **names}


def initial_model(recipe: Recipe, registry: Registry) -> tuple[Model, Start | None]:
    """Build the model of a recipe and give it the weights that `init` names, before its encoders are tuned.

    An encoder that the earlier run has with the same options is built from what that run keeps of it, without
    the original. Raises RunError when there are no such weights, and RecipeError when none of them fit.
    """
    if recipe.init is None:
        return build.build_model(recipe, registry), None
    path = located(recipe.init)
    run = Run(path) if path.is_dir() else None
    file, folders, rows = path, {}, None
    if run is not None:
        file, rows = run.model_file, rows_of(run.metrics)
        earlier = {name: (pick.name, pick.options) for name, pick in run.recipe.encoders.items()}
        folders = {
            name: run.assets / name
            for name, pick in recipe.encoders.items()
            if earlier.get(name) == (pick.name, pick.options)
        }
    weights, digest = _read(file, recipe.init, run)
    if run is not None:
        weights = original(run, weights, registry)
    model = build.assemble(recipe, registry, folders)
    start = take(model, weights, {"init": recipe.init, "sha256": digest}, rows)
    if run is not None and run.recipe.classes != recipe.classes:
        start = start._replace(doubts=_other_classes(model, start, run.recipe.classes))
    build.tune(model, recipe, registry)
    _expect_no_random_rest(model, start)
    return model, start


def _other_classes(model: Model, start: Start, classes: Sequence[str]) -> tuple[str, ...]:
    taken = {part_of(name) for name in start.taken}
    heads = [f"objectives.{name}" for name in model.tasks if f"objectives.{name}" in taken]
    told = ", ".join(classes) or "not named"
    return tuple(f"{head} goes on with what was learned of other classes: {told}" for head in heads)


def _expect_no_random_rest(model: Model, start: Start) -> None:
    """Raise RecipeError for an encoder that was given nothing, knows nothing and does not learn."""
    for name, module in model.encoders.items():
        encoder = cast(Encoder, module)
        fixed = not any(parameter.requires_grad for parameter in encoder.parameters())
        if f"encoders.{name}" in start.untouched and fixed and not encoder.origin:
            message = (
                f"nothing of it learns, and {start.origin['init']} has nothing for it: it would stay random"
            )
            raise RecipeError([Problem(f"encoders.{name}.tune", message)])


def take(
    model: Model,
    weights: Mapping[str, Tensor],
    origin: Mapping[str, str],
    rows: Mapping[str, int] | None = None,
) -> Start:
    """Copy the tensors whose name and shape are those of the model. Raises RecipeError if there are none."""
    own = model.state_dict()
    fits = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    start = Start(
        origin,
        taken=tuple(name for name in own if name in fits),
        reshaped={
            name: f"{tuple(value.shape)}, there {tuple(weights[name].shape)}"
            for name, value in own.items()
            if name in weights and name not in fits
        },
        new=tuple(name for name in own if name not in weights),
        unused=tuple(name for name in weights if name not in own),
        rows=rows,
    )
    if not fits:
        message = f"no tensor of {origin['init']} fits this model: it has such as {next(iter(own))!r}"
        raise RecipeError([Problem("init", message)])
    model.load_state_dict(fits, strict=False)
    return start._replace(rows=None if rows is None else _known(rows, start, model.modalities))


def weights_of(run: Run, registry: Registry) -> tuple[dict[str, Tensor], str]:
    """Return the weights of a run, without what its tunings have added to the encoders, and their SHA-256.

    Raises RunError where there are none, or others than were written.
    """
    weights, digest = _read(run.model_file, str(run.folder), run)
    return original(run, weights, registry), digest


def _read(file: Path, given: str, run: Run | None) -> tuple[dict[str, Tensor], str]:
    digest = verify(file, given, run, "init")
    try:
        return load_tensors(file), digest
    except RunError as error:
        raise RunError(f"init: {error}; give a finished run, or such a file") from error


def _known(rows: Mapping[str, int], start: Start, modalities: Iterable[str]) -> dict[str, int]:
    """Return the rows by those modalities of which anything was taken."""
    parts = {part_of(name) for name in start.taken}
    known = {name for name in modalities if {f"encoders.{name}", f"align.{name}"} & parts}
    counts: Counter[str] = Counter()
    for kind, count in rows.items():
        counts["+".join(name for name in kind.split("+") if name in known)] += count
    return {kind: count for kind, count in counts.items() if kind}
