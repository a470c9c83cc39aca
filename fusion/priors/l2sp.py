"""What is known is pulled to where it started, what is new to zero."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fusion.prior import Earlier, Prior, Pull


class L2Sp(Prior):
    """L2-SP (Li et al. 2018, section 3.2): their alpha is `strength`, for what is known, beta is `new`.

    The adapters of LoRA are new: at zero they leave the weights as they were.
    """

    def __init__(
        self,
        earlier: Earlier | None,
        *,
        strength: Annotated[float, Field(gt=0)] = 1.0,
        new: Annotated[float, Field(ge=0)] = 0.01,
    ) -> None:
        super().__init__(earlier)
        self.strength, self.new = strength, new

    def pull(self, name: str, start: Tensor, known: bool) -> Pull | None:
        if known:
            return Pull(self.strength, start)
        return Pull(self.new) if self.new else None
