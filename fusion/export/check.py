"""Compare what the written graphs give with what the run gives."""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusion.batch import Batch
from fusion.errors import RunError
from fusion.evaluation.temperature import warmed
from fusion.export.formats import FORMATS
from fusion.export.specimens import Inputs, Specimens
from fusion.inference import Predictor

CLOSE = 1e-4
"""By how much a number may differ, times the largest of its output where that is above one."""
ROWS = (1, 3, 64)


def presence(modalities: Sequence[str], rows: int) -> dict[str, Tensor]:
    """Return which rows have which modality, (rows,) bool each: in turn all, and every other subset."""
    sizes = range(len(modalities), 0, -1)
    subsets = [subset for size in sizes for subset in combinations(modalities, size)]
    return {
        name: torch.tensor([name in subsets[row % len(subsets)] for row in range(rows)])
        for name in modalities
    }


def rows_of(found: Mapping[str, Specimens], rows: int, alike: int | None = None) -> dict[str, Any]:
    """Return so many rows as `predict.py` takes them: of all lengths, or all equal to one of the samples."""
    given: dict[str, Any] = {"rows": np.array(rows)}
    for name, shown in presence(list(found), rows).items():
        at = shown.nonzero()[:, 0]
        if len(at):
            inputs = found[name].mixed(len(at)) if alike is None else found[name].alike(len(at), alike)
            given |= {f"{name}/at": at.numpy()}
            given |= {f"{name}/{key}": part.numpy() for key, part in inputs.items()}
    return given


@torch.no_grad()
def expected(
    predictor: Predictor, given: Mapping[str, Any], found: Mapping[str, Specimens]
) -> dict[str, Any]:
    """Return what the run gives for the same rows, by the names that the graphs give their outputs."""
    rows, model = int(given["rows"]), predictor.model
    present = {name: torch.zeros(rows, dtype=torch.bool) for name in model.modalities}
    inputs: dict[str, Inputs] = {}
    for name, specimens in found.items():
        if f"{name}/at" in given:
            present[name][torch.from_numpy(given[f"{name}/at"])] = True
            inputs[name] = {key: torch.from_numpy(given[f"{name}/{key}"]) for key in specimens.axes}
    nothing = torch.zeros(rows, dtype=torch.long)
    batch = Batch(present, present, inputs, {}, dict.fromkeys(present, nothing), nothing, nothing)
    fused = model.fuse(model.embed(batch), batch.shown)
    made = {"fused": fused.numpy()}
    for name, task in model.tasks.items():
        value, score = task.predict(fused)
        made[f"{name}/value"] = value.numpy()
        made[f"{name}/score"] = warmed(score, name, present, predictor.temperatures).numpy()
    return made


def apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, float]:
    """Return by how much outputs of fractions differ at most, by name, as `CLOSE` counts it.

    Classes and other whole numbers follow from scores, and from nearly equal ones not always the same.
    """
    return {
        name: float(np.abs(part - one[name]).max() / max(1.0, np.abs(part).max()))
        for name, part in other.items()
        if part.dtype.kind == "f"
    }


def check(folder: Path, predictor: Predictor, found: Mapping[str, Specimens], format: str) -> float:
    """Run `predict.py` on 1, 3 and 64 rows, with every subset of modalities among them.

    Returns the largest difference. Raises RunError where it is more than `CLOSE`, or a graph does not run.
    """
    script = FORMATS[format].script()
    opened = cache(script.opened)
    most = max(len(specimens.samples) for specimens in found.values())
    worst = 0.0
    for rows in ROWS:
        for alike in (None, *range(most)):
            given = rows_of(found, rows, alike)
            try:
                answers = script.answer(folder, given, opened)
            except Exception as error:  # of the runtime, whose errors have no common type
                raise RunError(f"the graphs do not run on {rows} rows: {error}") from error
            for name, difference in apart(answers, expected(predictor, given, found)).items():
                if not difference <= CLOSE:  # NaN too
                    raise RunError(
                        f"the graphs give another {name} than the run: {difference:.2g} apart on {rows} "
                        f"rows, {CLOSE:g} is allowed"
                    )
                worst = max(worst, difference)
    return worst
