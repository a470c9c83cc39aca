"""Between two models, along an arc."""

import math
from collections.abc import Sequence

from torch import Tensor

from fusion.merging import Merging, between, blend
from fusion.tensors import Stored

PARALLEL = 0.9995  # cosine from which on the arc is taken for a line


class Slerp(Merging):
    """Spherical interpolation (Shoemake 1985) from the first run to the second, tensor by tensor.

    The angle is that between the two tensors as vectors; ALPHA is from 0 to 1, by default 0.5. Tensors that
    are nearly parallel, and a tensor of zeros, are interpolated along a line.
    """

    def weigh(self, given: Sequence[float], runs: int) -> list[float]:
        return between(given, runs)

    def merge(
        self, name: str, tensors: Sequence[Stored], weights: Sequence[float], base: Stored | None
    ) -> Tensor:
        if 0 in weights:
            return blend(tensors, weights)
        dot = first = second = 0.0
        for start, end in tensors[0].spans():
            one, other = (tensor.part(start, end).double() for tensor in tensors)
            dot += (one @ other).item()
            first += (one @ one).item()
            second += (other @ other).item()
        scale = math.sqrt(first * second)
        cosine = dot / scale if scale > 0 and math.isfinite(scale) else 1.0
        if abs(cosine) > PARALLEL:
            return blend(tensors, weights)
        angle = math.acos(cosine)
        return blend(tensors, [math.sin(weight * angle) / math.sin(angle) for weight in weights])
