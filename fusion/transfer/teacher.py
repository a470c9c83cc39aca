"""The teacher: the model of an earlier run, and which of its outputs a recipe learns from."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fusion.batch import Batch
from fusion.encoder import Processor
from fusion.errors import Problem, RecipeError, RunError, unknown
from fusion.hub.fetch import opened
from fusion.inference import load
from fusion.model import Model
from fusion.objective import Objective
from fusion.recipe.schema import Recipe
from fusion.registry import Registry

OUTPUT = "teacher/"
"""How the row keys begin that hold what a teacher gave: teacher/fused, teacher/vectors/M, teacher/tasks/T."""

Shape = tuple[int, ...]


class Teacher:
    """Gives the outputs that are `wanted`, by row key and shape, for any rows."""

    def __init__(
        self, model: Model, origin: Mapping[str, str], wanted: Mapping[str, Shape], key: Mapping[str, Any]
    ) -> None:
        self.model = model.eval()
        self.origin = dict(origin)  # "teacher": what the recipe says, and the "sha256" of its weights
        self.wanted = dict(wanted)
        self.key = dict(key)  # all that its outputs follow from

    @property
    def processors(self) -> dict[str, Processor]:
        return self.model.processors

    @torch.no_grad()
    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for b rows, (b, ...) fp32; NaN where a row lacks what an output is made of."""
        embeddings = self.model.embed(batch)
        fused = self.model.fuse(embeddings, batch.shown)
        some = torch.stack(list(batch.present.values())).any(dim=0)
        outputs = {f"{OUTPUT}fused": (fused, some)}
        for name, vectors in embeddings.pooled.items():
            outputs[f"{OUTPUT}vectors/{name}"] = vectors, batch.present[name]
        for name, task in self.model.tasks.items():
            outputs[f"{OUTPUT}tasks/{name}"] = task.predict(fused).score, some
        return {key: _where(*outputs[key]) for key in self.wanted}


def open_teacher(recipe: Recipe, model: Model, registry: Registry) -> Teacher | None:
    """Return the teacher of a recipe for its model, on the CPU; None where it has none.

    Raises RunError when it is not a finished run, and RecipeError when it cannot give what objectives read,
    when they read nothing of it, or when they would and there is no teacher.
    """
    wanted: dict[tuple[str, str], Shape] = {}
    for name, objective in model.objectives.items():
        assert isinstance(objective, Objective)
        for key, target in objective.targets.items():
            if key.startswith(OUTPUT):
                wanted[name, key] = target.shape
    if recipe.teacher is None:
        problems = [
            Problem(f"objectives.{name}", f"reads {key!r}, which an earlier run gives; add `teacher: RUN`")
            for name, key in wanted
        ]
        if problems:
            raise RecipeError(problems)
        return None
    try:
        run = opened(recipe.teacher)
        taught = load(run, "cpu", registry).model
    except RunError as error:
        raise RunError(f"teacher: {error}") from error
    offered = _offered(taught)
    problems = [
        Problem(f"objectives.{name}", problem)
        for (name, key), shape in wanted.items()
        for problem in _misfit(key, shape, offered)
    ]
    if not wanted:
        known = ", ".join(f"{key} {shape}" for key, shape in offered.items())
        problems = [Problem("teacher", f"no objective reads an output of {recipe.teacher}; it gives {known}")]
    if problems:
        raise RecipeError(problems)
    files = run.manifest["files"]
    origin = {"teacher": recipe.teacher, "sha256": files[run.model_file.name]}
    made = run.recipe.model_dump(mode="json", include={"encoders", "width", "fuser", "objectives"})
    follows = {"files": files, "made": made, "origins": taught.origins, "torch": torch.__version__}
    return Teacher(taught, origin, {key: shape for (_, key), shape in wanted.items()}, follows)


def _offered(model: Model) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {f"{OUTPUT}fused": (model.width,)}
    shapes |= {f"{OUTPUT}vectors/{name}": (model.width,) for name in model.modalities}
    with torch.no_grad():
        for name, task in model.tasks.items():
            shapes[f"{OUTPUT}tasks/{name}"] = tuple(task.predict(torch.zeros(1, model.width)).score.shape[1:])
    return shapes


def _misfit(key: str, shape: Shape, offered: Mapping[str, Shape]) -> list[str]:
    if key not in offered:
        return [unknown("output of the teacher", key, offered)]
    if offered[key] == shape:
        return []
    return [
        f"reads {key!r} as {shape}, and the teacher gives {offered[key]}; set its `dim` or `classes` to that"
    ]


def _where(values: Tensor, known: Tensor) -> Tensor:
    shaped = known.reshape(-1, *(1 for _ in values.shape[1:]))
    return values.float().masked_fill(~shaped, float("nan")).cpu()
