"""What a merging is: how the weights of several runs become those of one model."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import compress
from math import inf, isfinite

import torch
from torch import Tensor

from fusion.tensors import Stored

Measure = Callable[[Sequence[float]], float]
"""How good the model is that some weights of the runs give; the larger, the better."""


class Merging(ABC):
    """Makes one tensor of those of several runs. Options are the keyword-only parameters of `__init__`.

    Tensors are asked for one after the other, in any order, and a merging keeps nothing of them.
    """

    needs_base = False
    """Whether it reads the model from which the trainings of the runs started."""

    def weigh(self, given: Sequence[float], runs: int) -> list[float]:
        """Return a weight for each run, of the numbers that the user gave for the model or a part of it.

        `given` may be empty. By default it has a number for each run, or all count alike; the weights sum up
        to 1. Raises ValueError for numbers, or a number of runs, that do not fit.
        """
        return shares(given, runs)

    def choose(self, weights: list[float], measure: Measure) -> list[float]:
        """Return the weights to merge with, for those that choose by what they measure; others return theirs.

        Each call of `measure` takes an evaluation.
        """
        return weights

    @abstractmethod
    def merge(
        self, name: str, tensors: Sequence[Stored], weights: Sequence[float], base: Stored | None
    ) -> Tensor:
        """Return the tensor `name` of the merged model, in the shape and type that it has in all runs.

        One whose weight is 0 must not be read. `base` is there for those that need it. What is drawn depends
        on the options and the name alone.
        """


def blend(tensors: Sequence[Stored], weights: Sequence[float]) -> Tensor:
    """Return the sum of weight times tensor, in the type of the first, summed up in fp64.

    What has weight 0 is not read; one alone with weight 1 comes back bit for bit.
    """
    used, factors = list(compress(tensors, weights)), list(filter(None, weights))
    if factors == [1]:
        return used[0].whole()
    merged = torch.empty(tensors[0].shape, dtype=tensors[0].dtype)
    for start, end in tensors[0].spans():
        total = torch.zeros(end - start, dtype=torch.float64)
        for tensor, factor in zip(used, factors, strict=True):
            total.add_(tensor.part(start, end).double(), alpha=factor)
        merged.view(-1)[start:end] = total
    return merged


def shares(given: Sequence[float], runs: int) -> list[float]:
    """Return one weight per run, none negative, that sum up to 1; the same for all where none are given."""
    weights = list(given) or [1.0] * runs
    if len(weights) != runs or not all(0 <= weight < inf for weight in weights) or not any(weights):
        raise ValueError(
            f"weights are {_told(given)}; give each of the {runs} runs one, none below 0 and not all 0"
        )
    return [weight / sum(weights) for weight in weights]


def coefficients(given: Sequence[float], runs: int) -> list[float]:
    """Return one finite number per run; a single one is that of all."""
    numbers = list(given) * (runs if len(given) == 1 else 1)
    if len(numbers) != runs or not all(map(isfinite, numbers)):
        raise ValueError(f"weights are {_told(given)}; give one number for all {runs} runs, or one for each")
    return numbers


def between(given: Sequence[float], runs: int) -> list[float]:
    """Return the weights of two runs on the way from the first (ALPHA 0) to the second (1)."""
    alpha = given[0] if given else 0.5
    if runs != 2 or len(given) > 1 or not 0 <= alpha <= 1:
        raise ValueError(
            f"it goes from a first run to a second one, by one number from 0 to 1; here are {runs} runs, "
            f"and as weights {_told(given)}"
        )
    return [1 - alpha, alpha]


def _told(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers) or "none"
