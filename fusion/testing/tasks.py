"""Check the answers of a task, and the metrics that read them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from fusion.objective import Prediction, Task
from fusion.testing.expect import TOLERANCE, distance, expect
from fusion.testing.trial import fused_vectors, targets_of

ROWS = 8


def expect_answers(task: Task) -> None:
    """Expect an answer for every row, alone as in a batch, and metrics that read its scores."""
    expect(
        task.target in task.targets,
        f"target is {task.target!r}",
        f"one of its targets: {', '.join(task.targets) or 'none'}",
    )
    with torch.no_grad():
        answer = task.predict(fused_vectors(ROWS))
        expect(
            isinstance(answer, Prediction), f"predict gave a {type(answer).__name__}", "a fusion.Prediction"
        )
        for name, part in answer._asdict().items():
            shape = tuple(part.shape)
            expect(shape[:1] == (ROWS,), f"predict gave a {name} of shape {shape}", f"({ROWS}, ...)")
            expect(part.isfinite().all(), f"predict gave a {name} that is NaN or infinite", "finite numbers")
        for row in range(ROWS):
            far = distance(task.predict(fused_vectors(ROWS)[row : row + 1]).score[0], answer.score[row])
            expect(far <= TOLERANCE, f"row {row} is predicted otherwise alone", "a row to depend on no other")
        averaged = task.average([answer.score, answer.score])
        energy = task.energy(fused_vectors(ROWS))
    given = None if energy is None else tuple(energy.shape)
    expect(given in (None, (ROWS,)), f"energy gave shape {given}", f"({ROWS},), or None")
    if task.probabilities:
        score, target = answer.score, task.targets[task.target]
        sums = (
            score.ndim == 2 and bool((score >= 0).all()) and bool(((score.sum(dim=1) - 1).abs() < 1e-4).all())
        )
        said = f"probabilities is True, and predict gave scores of shape {tuple(score.shape)}"
        whole = not target.dtype.is_floating_point and target.shape == ()
        expect(sums and whole, said, "(b, classes) that sum to 1, and one class of a row as the target")
    shape, expected = tuple(averaged.shape), tuple(answer.score.shape)
    expect(shape == expected, f"average gave shape {shape}", f"{expected}, that of one score")
    _expect_metrics(task, answer.score)


def _expect_metrics(task: Task, score: Tensor) -> None:
    target = targets_of(task, len(score))[task.target]
    metrics, other = task.metrics(), task.metrics()
    expect(other is not metrics, "metrics() gives the same ones again", "new ones: several count at once")
    metrics.update(score, target)
    measured: Mapping[str, Tensor] = metrics.compute()
    expect(bool(measured), "metrics() is empty", "a metric at least")
    for name, value in measured.items():
        scalar = value.numel() == 1 and bool(value.isfinite())
        expect(scalar, f"metric {name!r} is {value}", "one finite number")
    other.update(score[:1], target[:1])
    other.reset()
    other.update(score, target)
    for name, value in other.compute().items():
        expect(
            torch.equal(value, measured[name]),
            f"metric {name!r} is {value} after a reset, and {measured[name]} when it is fresh",
            "the same: metrics() gives new ones, whose states are made by add_state",
        )
