"""Check an objective."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fusion.component import Component
from fusion.embeddings import Embeddings
from fusion.objective import Objective, Task
from fusion.testing.devices import META, stays
from fusion.testing.expect import (
    TOLERANCE,
    build_seeded,
    distance,
    expect,
    move_weights,
    reached,
    same_bits,
    seed,
    unchanged,
)
from fusion.testing.tasks import expect_answers
from fusion.testing.trial import (
    EVERYTHING,
    GARBAGE,
    MIXED,
    MODALITIES,
    NOTHING,
    SOURCES,
    WIDTH,
    Presence,
    fused_vectors,
    moved,
    targets_of,
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
    again = torch.equal(run(MIXED).loss, clean.loss)
    expect(again, "equal batches and weights give another loss", "every random number to come from torch")
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
    _run(fresh, trial(MIXED))  # a training that is killed has seen rows
    move_weights(fresh, other)
    far = distance(*(_run(one, trial(EVERYTHING)).loss for one in (other, fresh)))
    expect(
        far <= TOLERANCE,
        f"with its saved weights the loss differs by {far:.1e}",
        "all that training or chance decide, and what is kept from one batch for the next, in state_dict",
    )
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

    elsewhere: Objective = build_seeded(build, Objective, 0, *place, **options)
    if stays(lambda: _loss(elsewhere.to(META), trial(MIXED), META)):
        yield "forward stays on the device of its inputs"

    if isinstance(fresh, Task):
        expect_answers(fresh.eval())
        yield "predict answers every row, alone as in a batch, and the metrics read its scores"


def _run(objective: Objective, embeddings: Embeddings, known: bool = True) -> _Outcome:
    rows = len(embeddings.source)
    pooled = {name: part.clone().requires_grad_() for name, part in embeddings.pooled.items()}
    fused, targets = fused_vectors(rows).requires_grad_(), targets_of(objective, rows, known)
    # as in a training, no leaves
    given = embeddings._replace(pooled={name: part.clone() for name, part in pooled.items()})
    vectors = fused.clone()
    with seed(0), unchanged("forward", *given[:5], {"fused": vectors}, targets):
        loss = objective(given, vectors, targets)
    expect(isinstance(loss, Tensor), f"forward gave a {type(loss).__name__}", "a tensor")
    expect(loss.shape == (), f"the loss has shape {tuple(loss.shape)}", "a scalar, ()")
    expect(loss.requires_grad, "the loss has no gradient", "a differentiable one, also when it is 0")
    loss.backward()
    leaves = {**dict(objective.named_parameters()), **pooled, "fused": fused}
    return _Outcome(objective, loss.detach(), {name: leaf.grad for name, leaf in leaves.items()})


def _loss(objective: Objective, embeddings: Embeddings, device: str) -> Tensor:
    rows = len(embeddings.source)
    targets = {name: target.to(device) for name, target in targets_of(objective, rows).items()}
    loss: Tensor = objective(moved(embeddings, device), fused_vectors(rows).to(device), targets)
    return loss


def _expect_loss(outcome: _Outcome, case: str) -> None:
    loss = outcome.loss
    expect(loss.dtype == torch.float32, f"{case}: the loss is {loss.dtype}", "float32")
    expect(loss.isfinite(), f"{case}: the loss is {loss}", "a finite number")
    for name, gradient in outcome.gradients.items():
        finite = gradient is None or bool(gradient.isfinite().all())
        expect(finite, f"{case}: the gradient of {name} is NaN or infinite", "finite numbers")
