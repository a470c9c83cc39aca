"""Check an objective, and a task's answers."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fusion.batch import Target
from fusion.component import Component
from fusion.embeddings import Embeddings
from fusion.objective import Objective, Prediction, Task
from fusion.testing.expect import (
    TOLERANCE,
    build_seeded,
    distance,
    expect,
    move_weights,
    reached,
    same_bits,
    seed,
)
from fusion.testing.trial import (
    EVERYTHING,
    GARBAGE,
    MIXED,
    MODALITIES,
    NOTHING,
    SOURCES,
    WIDTH,
    Presence,
    trial,
)

STEPS = 4  # of a training that is begun


class _Outcome(NamedTuple):
    objective: Objective
    loss: Tensor
    gradients: dict[str, Tensor | None]  # of parameters, pooled and fused vectors


def check_objective(build: Callable[..., Objective], **options: Any) -> list[str]:
    """Check the objective that `build(modalities, width, **options)` returns; return what passed.

    Its modalities are `image`, `text` and `audio`, for options that name one. One that has a third positional
    parameter, `sources`, is given the names of two.
    """
    return list(_checks(build, options))


def _checks(build: Callable[..., Objective], options: dict[str, Any]) -> Iterator[str]:
    tells = "sources" in Component("objective", build).positional()
    place = (MODALITIES, WIDTH, SOURCES) if tells else (MODALITIES, WIDTH)

    def run(presence: Presence, garbage: float = 0.0, known: bool = True) -> _Outcome:
        objective: Objective = build_seeded(build, Objective, 0, *place, **options)
        return _run(objective, trial(presence, garbage=garbage), known)

    full = run(EVERYTHING)
    _expect_loss(full, "everything present")
    reached(full.objective)
    yield "with everything present: a finite scalar, and the gradient reaches every parameter"

    clean = run(MIXED)
    _expect_loss(clean, "every subset")
    for garbage in GARBAGE:
        dirty = run(MIXED, garbage)
        said = f"absent slots that hold {garbage} change the"
        expected = "no influence: read them through embeddings.visible(modality)"
        expect(torch.equal(clean.loss, dirty.loss), f"{said} loss", expected)
        for name, gradient in clean.gradients.items():
            same = same_bits({name: gradient}, {name: dirty.gradients[name]})
            expect(same, f"{said} gradient of {name}", expected)
    yield "what absent slots hold changes no bit of loss and gradients"

    for number, name in enumerate(MODALITIES):
        lacking = [tuple(i != number for i in range(len(MODALITIES)))] * len(EVERYTHING)
        _expect_loss(run(lacking), f"no {name} in the whole batch")
    _expect_loss(run(EVERYTHING, known=False), "no row with a target")
    nothing = run(NOTHING, known=False)
    _expect_loss(nothing, "nothing present and no target")
    expect(nothing.loss == 0, f"the loss is {nothing.loss} where no row takes part", "0")
    yield "finite when a modality or every target is missing, and 0 where no row takes part"

    other: Objective = build_seeded(build, Objective, 1, *place, **options)
    fresh: Objective = build_seeded(build, Objective, 0, *place, **options)
    move_weights(fresh, other)
    far = distance(_run(other, trial(EVERYTHING)).loss, full.loss)
    expect(far <= TOLERANCE, f"with its saved weights the loss differs by {far:.1e}", "the same loss")
    yield "saved weights give another build the same loss"

    whole, resumed = (build_seeded(build, Objective, 0, *place, **options) for _ in range(2))
    for step in range(STEPS - 1):
        whole.start_step(step, STEPS)
    resumed.start_step(STEPS - 2, STEPS)
    both = [_run(one, trial(EVERYTHING)) for one in (whole, resumed)]
    alike = torch.equal(both[0].loss, both[1].loss) and same_bits(both[0].gradients, both[1].gradients)
    expect(
        alike, "after other steps start_step gives another loss", "one that depends on (step, steps) alone"
    )
    yield "start_step depends on (step, steps) alone"

    if isinstance(fresh, Task):
        _expect_answers(fresh.eval())
        yield "predict answers every row, alone as in a batch, and the metrics read its scores"


def _run(objective: Objective, embeddings: Embeddings, known: bool = True) -> _Outcome:
    rows = len(embeddings.source)
    pooled = {name: part.clone().requires_grad_() for name, part in embeddings.pooled.items()}
    fused = _fused(rows).requires_grad_()
    with seed(0):
        loss = objective(embeddings._replace(pooled=pooled), fused, _targets(objective, rows, known))
    expect(isinstance(loss, Tensor), f"forward gave a {type(loss).__name__}", "a tensor")
    expect(loss.shape == (), f"the loss has shape {tuple(loss.shape)}", "a scalar, ()")
    expect(loss.requires_grad, "the loss has no gradient", "a differentiable one, also when it is 0")
    loss.backward()
    leaves = {**dict(objective.named_parameters()), **pooled, "fused": fused}
    return _Outcome(objective, loss.detach(), {name: leaf.grad for name, leaf in leaves.items()})


def _expect_loss(outcome: _Outcome, case: str) -> None:
    loss = outcome.loss
    expect(loss.dtype == torch.float32, f"{case}: the loss is {loss.dtype}", "float32")
    expect(loss.isfinite(), f"{case}: the loss is {loss}", "a finite number")
    for name, gradient in outcome.gradients.items():
        finite = gradient is None or bool(gradient.isfinite().all())
        expect(finite, f"{case}: the gradient of {name} is NaN or infinite", "finite numbers")


def _targets(objective: Objective, rows: int, known: bool = True) -> dict[str, Tensor]:
    """Return 0, 1, 0, 1 ... in each target, or the mark of a missing one."""
    for name, target in objective.targets.items():
        expect(isinstance(target, Target), f"targets[{name!r}] is {target!r}", "a fusion.Target")
    return {
        name: (torch.arange(rows) % 2)
        .to(target.dtype)
        .reshape(-1, *(1 for _ in target.shape))
        .expand(rows, *target.shape)
        .clone()
        .masked_fill(torch.tensor(not known), target.missing)
        for name, target in objective.targets.items()
    }


def _fused(rows: int) -> Tensor:
    return torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(1))


def _expect_answers(task: Task) -> None:
    rows = 8
    expect(
        task.target in task.targets,
        f"target is {task.target!r}",
        f"one of its targets: {', '.join(task.targets) or 'none'}",
    )
    with torch.no_grad():
        answer = task.predict(_fused(rows))
        expect(
            isinstance(answer, Prediction), f"predict gave a {type(answer).__name__}", "a fusion.Prediction"
        )
        for name, part in answer._asdict().items():
            shape = tuple(part.shape)
            expect(shape[:1] == (rows,), f"predict gave a {name} of shape {shape}", f"({rows}, ...)")
            expect(part.isfinite().all(), f"predict gave a {name} that is NaN or infinite", "finite numbers")
        for row in range(rows):
            far = distance(task.predict(_fused(rows)[row : row + 1]).score[0], answer.score[row])
            expect(far <= TOLERANCE, f"row {row} is predicted otherwise alone", "a row to depend on no other")
        averaged = task.average([answer.score, answer.score])
        energy = task.energy(_fused(rows))
    given = None if energy is None else tuple(energy.shape)
    expect(given in (None, (rows,)), f"energy gave shape {given}", f"({rows},), or None")
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
    metrics = task.metrics()
    metrics.update(answer.score, _targets(task, rows)[task.target])
    measured: Mapping[str, Tensor] = metrics.compute()
    expect(bool(measured), "metrics() is empty", "a metric at least")
    for name, value in measured.items():
        scalar = value.numel() == 1 and bool(value.isfinite())
        expect(scalar, f"metric {name!r} is {value}", "one finite number")
