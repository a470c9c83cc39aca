"""How large the weights of a run are, as they lie on the disk."""

from pathlib import Path
from typing import NamedTuple

import torch

from fusion.compressions.packing import BITS, VALUES
from fusion.tensors import stored


class Size(NamedTuple):
    """The bytes of a file of weights, and the share of its numbers that are zero.

    The share is None where bytes hold more than one number each.
    """

    bytes: int
    zeros: float | None


def size(file: Path) -> Size:
    """Return the size of a file of safetensors, of which a part is read at a time.

    Zeros that are packed count as zeros, with up to 7 more of each tensor that fill a byte.
    """
    numbers = zeros = 0
    found = stored(file)
    for name, tensor in found.items():
        values = found.get(name.removesuffix(BITS) + VALUES) if name.endswith(BITS) else None
        if values is not None:
            absent = 8 * tensor.numel() - values.numel()
            numbers, zeros = numbers + absent, zeros + absent
            continue
        if tensor.dtype is torch.uint8:
            return Size(file.stat().st_size, None)
        numbers += tensor.numel()
        for start, end in tensor.spans():
            zeros += end - start - int(tensor.part(start, end).count_nonzero())
    return Size(file.stat().st_size, zeros / max(numbers, 1))
