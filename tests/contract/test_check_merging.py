"""Each check of a merging finds the bug that it is there for."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from fusion import Merging, PluginError, Stored, blend
from fusion.merging import Measure
from fusion.testing import check_merging


class Mean(Merging):
    """The mean, times a factor."""

    def __init__(self, *, factor: float = 1.0) -> None:
        self.factor = factor

    def merge(
        self, name: str, tensors: Sequence[Stored], weights: Sequence[float], base: Stored | None
    ) -> Tensor:
        return self.factor * blend(tensors, weights)


def test_a_good_merging_passes() -> None:
    assert check_merging(Mean) == [
        "without weights it merges 1 or 2 or 3 runs",
        "what it chooses is a finite weight for each run",
        "tensors keep shape and type, and finite ones stay finite",
        "what comes out depends on the options and the name, to the bit",
        "a run with weight 0 is not read",
        "runs that are all equal to the base come back",
    ]


class Picky(Mean):
    def weigh(self, given: Sequence[float], runs: int) -> list[float]:
        raise ValueError("no")


class Short(Mean):
    def weigh(self, given: Sequence[float], runs: int) -> list[float]:
        return [1.0]


class Undecided(Mean):
    def choose(self, weights: list[float], measure: Measure) -> list[float]:
        return [float("nan") for _ in weights]


class Flat(Mean):
    def merge(
        self, name: str, tensors: Sequence[Stored], weights: Sequence[float], base: Stored | None
    ) -> Tensor:
        return blend(tensors, weights).view(-1)


class Wide(Mean):
    def merge(
        self, name: str, tensors: Sequence[Stored], weights: Sequence[float], base: Stored | None
    ) -> Tensor:
        return blend(tensors, weights).float()


class Root(Mean):
    def merge(
        self, name: str, tensors: Sequence[Stored], weights: Sequence[float], base: Stored | None
    ) -> Tensor:
        return blend(tensors, weights).sqrt()


class Counts(Mean):
    calls = 0

    def merge(
        self, name: str, tensors: Sequence[Stored], weights: Sequence[float], base: Stored | None
    ) -> Tensor:
        self.calls += 1
        return blend(tensors, weights) + 1e-6 * self.calls


class Eager(Mean):
    def merge(
        self, name: str, tensors: Sequence[Stored], weights: Sequence[float], base: Stored | None
    ) -> Tensor:
        found = [weight * tensor.whole() for weight, tensor in zip(weights, tensors, strict=True)]
        return torch.stack(found).sum(0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (Picky, "it takes neither of 1 to 3 runs"),
        (Short, r"weigh gives 2 runs \[1\.0\]; expected a finite weight for each"),
        (Undecided, r"choose gives 1 runs \[nan\]; expected a finite weight for each"),
        (Flat, r"scalar comes out as torch\.float32 \(1,\); expected torch\.float32 \(\) as in all runs"),
        (Wide, r"scalar comes out as torch\.float32 \(\); expected torch\.bfloat16 \(\) as in all runs"),
        (Root, "of finite tensors is not finite"),
        (Counts, "the same tensors come out otherwise in another order; expected the name alone to decide"),
        (Eager, "it reads run 0, whose weight is 0; expected it not to be read"),
        (object, "it builds a object; expected a fusion.Merging"),
    ],
)
def test_a_bug_is_found(build: type, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        check_merging(build)


def test_a_mean_that_is_not_one_is_found() -> None:
    with pytest.raises(
        PluginError, match=r"equal runs give \w+ that differs by .*; expected them to come back"
    ):
        check_merging(Mean, factor=1.1)
