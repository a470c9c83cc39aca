"""Everything is pulled to zero."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fusion.prior import Earlier, Prior, Pull


class L2(Prior):
    """All that learns is pulled to zero, wherever it started: what the other priors have to beat.

    `train.weight_decay` (Loshchilov 2019) leaves vectors alone; this shrinks them too, temperatures and the
    scales of normalisations among them, and by 1 / (1 + lr * strength) in place of 1 - lr * strength, which
    overshoots when it is large.
    """

    def __init__(self, earlier: Earlier | None, *, strength: Annotated[float, Field(gt=0)] = 0.05) -> None:
        super().__init__(earlier)
        self.strength = strength

    def pull(self, name: str, start: Tensor, known: bool) -> Pull:
        return Pull(self.strength)
