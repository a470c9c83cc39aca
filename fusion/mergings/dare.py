"""A random share of what each run has learned, added to the model that all started from."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from fusion.merging import Merging, coefficients
from fusion.tensors import Stored


class Dare(Merging):
    """Drop and rescale (Yu et al. 2024, DARE, equation 3), then task arithmetic.

    Each number of (run - base) is dropped with the probability `drop`, the others are divided by 1 - `drop`;
    the base plus the sum of weight times what is left is the merged model. A single weight is that of all
    runs, by default 0.4. What is dropped depends on `seed`, the place of the run and the tensor's name.
    """

    needs_base = True

    def __init__(
        self, *, drop: Annotated[float, Field(ge=0, lt=1)] = 0.9, seed: Annotated[int, Field(ge=0)] = 0
    ) -> None:
        self.drop, self.seed = drop, seed

    def weigh(self, given: Sequence[float], runs: int) -> list[float]:
        return coefficients(given or [0.4], runs)

    def merge(
        self, name: str, tensors: Sequence[Stored], weights: Sequence[float], base: Stored | None
    ) -> Tensor:
        assert base is not None
        merged = torch.empty(base.shape, dtype=base.dtype)
        used = [number for number, weight in enumerate(weights) if weight]
        draws = {number: np.random.default_rng([self.seed, number, *name.encode()]) for number in used}
        for start, end in base.spans():
            origin = base.part(start, end).double()
            total = origin.clone()
            for number, draw in draws.items():
                kept = torch.from_numpy(draw.random(end - start) >= self.drop)
                learned = tensors[number].part(start, end).double() - origin
                total += weights[number] / (1 - self.drop) * learned.where(kept, 0.0)
            merged.view(-1)[start:end] = total
        return merged
