"""The mean of those runs that make it better."""

from collections.abc import Sequence

from torch import Tensor

from fusion.merging import Measure, Merging, blend, shares
from fusion.tensors import Stored


class GreedySoup(Merging):
    """The mean of runs that are added, the best first, unless one makes the mean worse.

    Wortsman et al. 2022, model soups, recipe 1. Measure on rows of validation, not on those of the test.
    """

    def weigh(self, given: Sequence[float], runs: int) -> list[float]:
        if given:
            raise ValueError("it chooses among the runs and takes no weights")
        return shares([], runs)

    def choose(self, weights: list[float], measure: Measure) -> list[float]:
        runs = range(len(weights))
        alone = [measure(_mean({run}, len(runs))) for run in runs]
        first, *others = sorted(runs, key=lambda run: -alone[run])
        chosen, best = {first}, alone[first]
        for run in others:
            found = measure(_mean(chosen | {run}, len(runs)))
            if found >= best:
                chosen, best = chosen | {run}, found
        return _mean(chosen, len(runs))

    def merge(
        self, name: str, tensors: Sequence[Stored], weights: Sequence[float], base: Stored | None
    ) -> Tensor:
        return blend(tensors, weights)


def _mean(chosen: set[int], runs: int) -> list[float]:
    return [1 / len(chosen) if run in chosen else 0.0 for run in range(runs)]
