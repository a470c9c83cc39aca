"""Weights of 4 bits, activations of 8."""

from typing import Annotated

from pydantic import Field

from fusion.compressions.quantization import Quantization
from fusion.quantization.nibbles import Nibbles


class Int4(Quantization):
    """Weights of 4 bits, two to a byte, with a factor for each `group` of an output.

    In memory they are bytes, by which everything is computed as with weights of 8 bits (Lin et al. 2024,
    QServe, section 4.1): it takes as long, and half of the file. `least`, `multiplied` and `skip` are those
    of weights of 8 bits.
    """

    def __init__(
        self,
        *,
        group: Annotated[int, Field(ge=8, multiple_of=2)] = 32,
        least: Annotated[int, Field(ge=1)] = 4096,
        multiplied: Annotated[int, Field(ge=1)] = 262_144,
        skip: tuple[str, ...] = (),
    ) -> None:
        super().__init__(Nibbles(group), least, multiplied, skip)
