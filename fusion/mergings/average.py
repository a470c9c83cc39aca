"""The mean of the weights."""

from collections.abc import Sequence

from torch import Tensor

from fusion.merging import Merging, blend
from fusion.tensors import Stored


class Average(Merging):
    """The weighted mean of all runs (Wortsman et al. 2022, model soups, the uniform soup)."""

    def merge(
        self, name: str, tensors: Sequence[Stored], weights: Sequence[float], base: Stored | None
    ) -> Tensor:
        return blend(tensors, weights)
