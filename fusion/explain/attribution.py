"""Divide an answer over the parts of an input: pixels, cells of a spectrogram, samples, tokens."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from accelerate.utils import send_to_device
from torch import Tensor

from fusion.batch import Batch
from fusion.data.collate import Sample
from fusion.embeddings import Embeddings
from fusion.encoder import Encoder
from fusion.errors import RunError
from fusion.evaluation.temperature import scaled
from fusion.explain.places import AttributionError, Place, place
from fusion.model import Model
from fusion.objective import Task

STEPS = (64, 256)
"""Points from baseline to input at which the gradient is taken; the second where the first leave too much."""
LEFT = 0.05
"""Of the difference, what may be left undivided."""
TOGETHER = 8
"""Of them at once."""


class Attribution(NamedTuple):
    """What each part of an input adds to the score of an answer, on the CPU.

    `values` has the shape of `given`: (channels, height, width) of pixels, (mels, frames), (samples,). Of
    tokens `given` is (0,), `values` is (t,), and `pieces` says what they stand for, where that is known. They
    should add up to `difference`, the score less that for the baseline; `error` is by how much they do not.
    """

    given: Tensor
    values: Tensor
    pieces: tuple[str, ...]
    difference: float
    error: float

    @property
    def whole(self) -> bool:
        """Whether the parts add up, but for a twentieth; where they do not, they tell little."""
        return self.error <= LEFT * abs(self.difference)


def attribute(
    model: Model,
    sample: Sample,
    name: str,
    tell: Callable[[Tensor], Tensor],
) -> Attribution:
    """Attribute what is told of the fused vectors, (b, w) to (b,), to the input of one modality.

    By integrated gradients (Sundararajan et al. 2017, eq. 1) along the line from a baseline, with
    Gauss-Legendre quadrature. The baseline is what an input of zeros gives, black or silence; of tokens,
    vectors of zeros. Nothing but this modality is shown: where the others alone make the answer sure, there
    would be nothing left to divide.

    Raises AttributionError where no gradient leads to the input, and RunError without captum.
    """
    try:
        from captum.attr import IntegratedGradients
    except ImportError as error:
        raise RunError("attribution needs captum: pip install 'fusion-bind[explain]'") from error

    encoder = model.encoders[name]
    assert isinstance(encoder, Encoder)
    device = next(model.parameters()).device
    made_by = f"encoders.{name} ({model.origins[f'encoders.{name}']})"

    def inputs(rows: int) -> dict[str, Tensor]:
        collated = encoder.processor.collate([sample.decoded[name]] * rows)
        moved: dict[str, Tensor] = send_to_device(collated, device)
        return moved

    with torch.no_grad():
        at = place(encoder, inputs(1), made_by)
        given = _there(encoder, at, inputs(1))
        blank = {key: part * 0 if part.is_floating_point() else part for key, part in inputs(1).items()}
        baseline = torch.zeros_like(given) if at.tokens else _there(encoder, at, blank)

    def told(parts: Tensor) -> Tensor:
        def exchange(there: Tensor) -> Tensor:
            if there.shape != parts.shape:
                raise AttributionError(
                    f"{made_by} has {tuple(there.shape)} where {tuple(parts.shape)} are attributed: rows "
                    "have to come first"
                )
            return parts

        with at.exchanged(exchange):
            embeddings = _alone(model, name, inputs(len(parts)))
        return tell(model.fuse(embeddings, embeddings.present))

    given = given.detach().requires_grad_()
    # torch has no gradient of cuDNN's recurrent nets in evaluation
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        score = told(given)
        if not score.requires_grad:
            raise AttributionError(f"{made_by}: no gradient leads from the answer to its input")
        difference = float((score - told(baseline)).detach())
        for steps in STEPS:
            found = IntegratedGradients(told).attribute(
                given, baseline, n_steps=steps, method="gausslegendre", internal_batch_size=TOGETHER
            )
            values = found.detach()[0].cpu().double()
            missed = abs(float(values.sum()) - difference)
            if missed <= LEFT * abs(difference):
                break
    if at.tokens:
        pieces = tuple(encoder.processor.pieces(sample.decoded[name]))
        return Attribution(torch.empty(0), values.sum(-1).float(), pieces, difference, missed)
    return Attribution(given.detach()[0].cpu(), values.float(), (), difference, missed)


def telling(task: Task, fused: Tensor, temperature: float | None = None) -> Callable[[Tensor], Tensor]:
    """Return what is told of vectors, (b, w) to (b,), by the answer for one, (1, w).

    Of a class its probability, at a `temperature` where there is one, of a number that number, of several
    numbers or flags the one of largest score.
    """

    def told(vectors: Tensor) -> Tensor:
        score = task.predict(vectors).score
        score = score if temperature is None else scaled(score, temperature)
        return score.reshape(len(vectors), -1)[:, chosen]

    with torch.no_grad():
        value, score = task.predict(fused)
    flat = score.reshape(1, -1)
    of_class = not value.is_floating_point() and score.ndim == value.ndim + 1
    chosen = int(value if of_class else flat.argmax())
    return told


def _there(encoder: Encoder, at: Place, inputs: dict[str, Tensor]) -> Tensor:
    """Return what is at a place."""
    found: list[Tensor] = []

    def keep(given: Tensor) -> Tensor:
        found.append(given)
        return given

    with at.exchanged(keep):
        encoder(**inputs)
    if not found:
        raise AttributionError(
            f"nothing goes into {type(at.module).__name__}, by which it is to be attributed"
        )
    return found[0]


def _alone(model: Model, name: str, inputs: dict[str, Tensor]) -> Embeddings:
    """Return rows in which there is nothing but the inputs of one modality."""
    first = next(iter(inputs.values()))
    blank = torch.zeros(len(first), dtype=torch.long, device=first.device)
    present = {other: torch.full_like(blank, other == name, dtype=torch.bool) for other in model.modalities}
    content = dict.fromkeys(present, blank)
    return model.embed(Batch(present, present, {name: inputs}, {}, content, blank, blank))
