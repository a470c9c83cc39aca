"""Tell the sources apart, so that the encoders can learn that nobody can: the adversary and its gradient."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusion.objectives.domains import by_source, check_several, mean_of_sources

STEEPNESS = 10.0  # gamma of the schedule


class Discriminator(nn.Module):
    """Two layers that tell the sources apart, behind a reversed gradient (Ganin et al. 2016, section 4).

    What is before it learns to mislead it. The reversed gradient is multiplied by `reversal`.
    """

    def __init__(self, width: int, hidden: int, sources: Sequence[str]) -> None:
        super().__init__()
        self.sources = check_several(sources)
        self.reversal = 1.0
        self.layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, self.sources)
        )

    def schedule(self, step: int, steps: int) -> None:
        """Let the reversed gradient grow from 0 to 1 over a training (section 5.2.2, where gamma is 10)."""
        self.reversal = 2 / (1 + math.exp(-STEEPNESS * step / steps)) - 1

    def forward(self, x: Tensor, source: Tensor, rows: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the cross entropy for x, (b, w), of rows that take part; every source weighs the same."""
        logits = self.layers(_Reverse.apply(x, self.reversal))
        each = F.cross_entropy(logits, source, reduction="none")  # (b,)
        return mean_of_sources(each, by_source(source, rows, self.sources), weight)


class _Reverse(torch.autograd.Function):
    """The identity, whose gradient is multiplied by -`strength`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradient, None
