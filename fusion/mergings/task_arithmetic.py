"""What each run has learned, added to the model that all started from."""

from collections.abc import Sequence

from torch import Tensor

from fusion.merging import Merging, blend, coefficients
from fusion.tensors import Stored


class TaskArithmetic(Merging):
    """The base plus the sum of weight times (run - base) (Ilharco et al. 2023, task arithmetic, section 2).

    A single weight is that of all runs, by default 0.4, which Yadav et al. 2023 use where nothing is known; a
    negative one makes the model forget what the run has learned.
    """

    needs_base = True

    def weigh(self, given: Sequence[float], runs: int) -> list[float]:
        return coefficients(given or [0.4], runs)

    def merge(
        self, name: str, tensors: Sequence[Stored], weights: Sequence[float], base: Stored | None
    ) -> Tensor:
        assert base is not None
        return blend([base, *tensors], [1 - sum(weights), *weights])
