"""Frozen at first, then unfrozen layer by layer, from the output to the input."""

from typing import Annotated

from pydantic import Field
from torch import nn

from fusion.encoder import Encoder
from fusion.tuning import Tuning

Moment = Annotated[int, Field(ge=0)] | Annotated[float, Field(ge=0, le=1)]
"""A step, or a share of the training."""


class Gradual(Tuning):
    """Gradual unfreezing (Howard and Ruder 2018, ULMFiT, section 3.3).

    Before `start` nothing learns; from then on one layer after the other does, the last one first, at equal
    distances, and from `end` on all of them. Both are steps (100) or shares of the training (0.25). `last`
    limits how many layers ever learn. Layers are what `Encoder.layer_groups` says.
    """

    def __init__(
        self,
        *,
        start: Moment = 0.1,
        end: Moment = 0.5,
        last: Annotated[int | None, Field(ge=1)] = None,
    ) -> None:
        if start and end and isinstance(start, int) != isinstance(end, int):
            raise ValueError(f"start ({start}) and end ({end}) are a step and a share; give two of a kind")
        if start > end:
            raise ValueError(f"start ({start}) is after end ({end})")
        self.start, self.end, self.last = start, end, last
        self.layers: list[list[nn.Parameter]] = []  # the output first

    def prepare(self, encoder: Encoder) -> None:
        layers = [[part for part in layer if part.requires_grad] for layer in encoder.layer_groups()]
        self.layers = [layer for layer in reversed(layers) if layer]
        if not self.layers:
            raise ValueError("the encoder has no parameter that could be unfrozen; use mode: frozen")
        for layer in self.layers[self.last :] if self.last else []:
            _set(layer, learns=False)
        self.layers = self.layers[: self.last]

    def start_step(self, encoder: Encoder, step: int, steps: int) -> None:
        learning = self.count(step, steps)
        for place, layer in enumerate(self.layers):
            _set(layer, learns=place < learning)

    def count(self, step: int, steps: int) -> int:
        """Return how many layers, from the output, learn at a step (from 0) of `steps`."""
        start, end = (
            moment if isinstance(moment, int) else moment * steps for moment in (self.start, self.end)
        )
        if step < start:
            return 0
        if step >= end:
            return len(self.layers)
        return 1 + int((step - start) / (end - start) * len(self.layers))


def _set(layer: list[nn.Parameter], learns: bool) -> None:
    for parameter in layer:
        parameter.requires_grad_(learns)
