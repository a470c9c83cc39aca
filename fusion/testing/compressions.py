"""Check a compression."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from fusion.compression import Compression
from fusion.model import Model
from fusion.testing.expect import distance, expect, move_weights, same_bits, seed
from fusion.testing.trial_model import trial_batch, trial_model

Build = Callable[..., Compression]
STEPS = 6  # of a training before it
ROWS = (0, 3, 6)  # that are also looked at alone: one of everything, and others with less
ALONE = 0.01  # how far a rounding may fall otherwise
NEAR = 0.1  # how far the vectors, of unit length, may be when arithmetic is no longer rounded


def check_compression(build: Build, **options: Any) -> list[str]:
    """Check the compression that `build(**options)` returns, on a small model; return what passed."""
    return list(_checks(build, options))


def _checks(build: Build, options: dict[str, Any]) -> Iterator[str]:
    full = trial_model(0).eval()
    model, record = _applied(build, trial_model(0), options)
    expect(_plain(record), f"apply returned {record!r}", "a dict that is the same when read back from JSON")
    expect(_weight(model) < _weight(full), "nothing became smaller or zero", "fewer bytes, or more zeros")
    yield "what it records is plain JSON, and the model has fewer bytes or more zeros"

    vectors = _vectors(model)
    finite = all(bool(value.isfinite().all()) for value in vectors.values())
    shapes = {name: tuple(value.shape) for name, value in vectors.items()}
    before = {name: tuple(value.shape) for name, value in _vectors(full).items()}
    expect(finite and shapes == before, f"vectors are {shapes}", f"finite ones of shape {before}")
    yield "every subset of three modalities has finite vectors of the same shape"

    alone = {row: _vectors(model, row) for row in ROWS}
    far = max(distance(alone[row][name], vectors[name][row : row + 1]) for row in ROWS for name in vectors)
    expect(
        far <= ALONE,
        f"alone a row has vectors that differ by {far:.1e}",
        f"at most {ALONE}; does a scale depend on the other rows of a batch?",
    )
    yield "a row has the vectors alone that it has among others"

    again, twin = _applied(build, trial_model(0), options)
    same = same_bits(again.state_dict(), model.state_dict()) and twin == record
    expect(same, "applied twice to the same weights it gives two models", "the options and weights to decide")
    yield "the same weights give the same model, to the bit"

    _expect_restored(build, options, model, [record], "a fresh model")
    yield "a fresh model, restored and with the saved weights, gives the same bits"

    try:
        again, twin = _applied(build, again, options)
    except ValueError as error:
        yield f"a second time it refuses: {error}"
    else:
        _expect_restored(build, options, again, [record, twin], "compressed twice, a fresh model")
        yield "compressed twice, a fresh model is restored from both records"

    expanded = _restored(build, options, model, [record])
    with torch.no_grad():
        build(**options).expand(expanded, record)
    there = _vectors(expanded)
    far = max(distance(there[name], vectors[name]) for name in vectors)
    expect(far <= NEAR, f"expanded, the vectors differ by {far:.1e}", f"at most {NEAR}")
    _learn(expanded, "expanded, parameter {} has a gradient that is not finite")
    yield f"expanded, it can be trained, and its vectors differ by {far:.0e}"

    trained = _trained(build, options)
    trained, record = _applied(build, trained, options)
    _expect_restored(build, options, trained, [record], "after a training a fresh model")
    yield f"a training of {STEPS} steps before it can be resumed, and what comes out is restored to the bit"


def _trained(build: Build, options: dict[str, Any]) -> Model:
    """Train with what is due before each step, as the core does, and expect that it can be resumed."""
    model = trial_model(0)
    compression = _prepared(build, options, model)
    made = [id(parameter) for parameter in model.parameters()]
    for step in range(STEPS):
        saved = {name: value.clone() for name, value in model.state_dict().items()}
        with torch.no_grad():
            compression.prepare(model, step, STEPS)
        kept = [id(parameter) for parameter in model.parameters()]
        expect(kept == made, f"at step {step} it makes other parameters", "that before the optimiser is made")
        resumed = trial_model(0)
        other = _prepared(build, options, resumed)
        resumed.load_state_dict(saved)
        with torch.no_grad():
            other.prepare(resumed, step, STEPS)
        same = same_bits(resumed.state_dict(), model.state_dict())
        expect(
            same, f"resumed at step {step} it does something else", "(step, steps) and the model to decide"
        )
        _learn(model.train(), f"at step {step} parameter {{}} has a gradient that is not finite")
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.sub_(0.01 * parameter.grad)
    return model


@torch.no_grad()
def _prepared(build: Build, options: dict[str, Any], model: Model) -> Compression:
    compression = _built(build, options)
    compression.observe(model, [trial_batch()])
    compression.prepare(model, 0, STEPS)
    return compression


def _learn(model: Model, said: str) -> None:
    model.zero_grad()
    learns = any(parameter.requires_grad for parameter in model.parameters())
    expect(learns, "nothing of the model learns", "parameters that can be trained")
    with seed(3):
        total = model(trial_batch()).total
    total.backward()
    for name, parameter in model.named_parameters():
        finite = parameter.grad is None or bool(parameter.grad.isfinite().all())
        expect(finite, said.format(name), "finite numbers")


def _expect_restored(
    build: Build,
    options: dict[str, Any],
    model: Model,
    records: Sequence[dict[str, Any]],
    what: str,
) -> None:
    there, vectors = _vectors(_restored(build, options, model, records, what)), _vectors(model)
    far = max(distance(there[name], vectors[name]) for name in vectors)
    expect(
        same_bits(there, vectors),
        f"{what}, restored and with the saved weights, differs by {far:.1e}",
        "the same bits: what decides them has to be in state_dict or in the record",
    )


def _restored(
    build: Build,
    options: dict[str, Any],
    model: Model,
    records: Sequence[dict[str, Any]],
    what: str = "a fresh model",
) -> Model:
    fresh = trial_model(1)
    with torch.no_grad():
        for record in records:
            try:
                _built(build, options).restore(fresh, json.loads(json.dumps(record)))
            except Exception as error:
                expect(False, f"{what} is not restored: {error!r}", "what was recorded to be enough for it")
    try:
        move_weights(model, fresh)
    except RuntimeError as error:
        expect(
            False, f"the saved weights do not fit what restore makes: {error}", "the same names and shapes"
        )
    return fresh.eval()


@torch.no_grad()
def _applied(build: Build, model: Model, options: dict[str, Any]) -> tuple[Model, dict[str, Any]]:
    compression = _built(build, options)
    compression.conclude(model.eval())
    compression.observe(model, [trial_batch()])
    return model, compression.apply(model)


def _built(build: Build, options: dict[str, Any]) -> Compression:
    compression = build(**options)
    expect(
        isinstance(compression, Compression),
        f"it builds a {type(compression).__name__}",
        "a fusion.Compression",
    )
    return compression


def _plain(record: Any) -> bool:
    try:
        return isinstance(record, dict) and json.loads(json.dumps(record, allow_nan=False)) == record
    except (TypeError, ValueError):
        return False


def _weight(model: Model) -> int:
    """Return the bytes of all tensors that are not zero."""
    return sum(int(value.count_nonzero()) * value.itemsize for value in model.state_dict().values())


@torch.no_grad()
def _vectors(model: Model, row: int | None = None) -> dict[str, Tensor]:
    batch = trial_batch(row)
    embeddings = model.embed(batch)
    return {**embeddings.pooled, "fused": model.fuse(embeddings, batch.shown)}
