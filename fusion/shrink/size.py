"""How large the weights of a run are, as they lie on the disk."""

from pathlib import Path
from typing import NamedTuple

from fusion.tensors import stored


class Size(NamedTuple):
    """The bytes of a file of weights, and the share of its numbers that are zero."""

    bytes: int
    zeros: float


def size(file: Path) -> Size:
    """Return the size of a file of safetensors, of which a part is read at a time."""
    numbers = zeros = 0
    for tensor in stored(file).values():
        for start, end in tensor.spans():
            zeros += end - start - int(tensor.part(start, end).count_nonzero())
        numbers += tensor.numel()
    return Size(file.stat().st_size, zeros / max(numbers, 1))
