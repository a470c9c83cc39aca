"""Between a model and what fine-tuning made of it."""

from collections.abc import Sequence

from torch import Tensor

from fusion.merging import Merging, between, blend
from fusion.tensors import Stored


class WiseFt(Merging):
    """(1 - ALPHA) times the first run plus ALPHA times the second, which was fine-tuned from it.

    Wortsman et al. 2022, robust fine-tuning of zero-shot models, equation 1.
    ALPHA is from 0 to 1, by default 0.5.
    """

    def weigh(self, given: Sequence[float], runs: int) -> list[float]:
        return between(given, runs)

    def merge(
        self, name: str, tensors: Sequence[Stored], weights: Sequence[float], base: Stored | None
    ) -> Tensor:
        return blend(tensors, weights)
