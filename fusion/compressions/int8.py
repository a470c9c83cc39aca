"""Weights and activations of 8 bits."""

from typing import Annotated

from pydantic import Field

from fusion.compressions.quantization import Quantization
from fusion.quantization.rounding import Bytes


class Int8(Quantization):
    """Symmetric weights of 8 bits with a scale for each output, and activations rounded as they come.

    Linear layers, torch's attention and convolutions multiply integers (Jacob et al. 2018, section 2; zero
    is zero here). A row has a scale of its own, or a sample of a convolution, so that nothing depends on
    the rest of the batch. What gains nothing by it is multiplied as floats, which are kept beside once they
    are needed: matrices of fewer than `multiplied` numbers, convolutions in groups, and matrices that code
    of a model's own reads. Those of fewer than `least` numbers stay as they are, and so does all that is in
    modules that `skip` names, such as "encoders.image" or "fuser".
    """

    def __init__(
        self,
        *,
        least: Annotated[int, Field(ge=1)] = 4096,
        multiplied: Annotated[int, Field(ge=1)] = 262_144,
        skip: tuple[str, ...] = (),
    ) -> None:
        super().__init__(Bytes(), least, multiplied, skip)
