"""What is known is pulled to where it started."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fusion.prior import Earlier, Prior, Pull


class L2Sp(Prior):
    """L2-SP (Li et al. 2018, section 3.2): their alpha is `strength`, for what is known.

    Their beta, which pulls what is new to zero, is `train.weight_decay`: it goes on where no prior holds. So
    the adapters of LoRA, which are new, go to where they leave the weights as they were.
    """

    def __init__(self, earlier: Earlier | None, *, strength: Annotated[float, Field(gt=0)] = 3.0) -> None:
        super().__init__(earlier)
        self.strength = strength

    def pull(self, name: str, start: Tensor, known: bool) -> Pull | None:
        return Pull(self.strength, start) if known else None
