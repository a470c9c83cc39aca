"""Which numbers of tensors stay, by their size, and how many do at each step."""

from collections.abc import Sequence

import torch
from torch import Tensor


def largest(tensors: Sequence[Tensor], sparsity: float) -> list[Tensor]:
    """Return masks, True for what stays: all but the share `sparsity` of the numbers nearest to zero.

    The tensors are ranked together. Of equal numbers the first ones go, in the order of the tensors; exactly
    round(sparsity * n) of n numbers go, but each tensor keeps its largest. Nothing is read on the host.
    """
    for_each = [tensor.detach().abs().flatten() for tensor in tensors]
    for sizes in for_each:
        sizes[sizes.argmax().view(1)] = torch.inf
    sizes = torch.cat(for_each)
    count = min(round(sparsity * len(sizes)), len(sizes) - len(for_each))
    if count == 0:
        return [torch.ones_like(tensor, dtype=torch.bool) for tensor in tensors]
    bound = sizes.kthvalue(count).values
    equal = sizes == bound
    spared = count - (sizes < bound).sum()  # of the equal ones, how many go
    kept = (sizes > bound) | (equal & (equal.cumsum(0) > spared))
    parts = torch.split(kept, [tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def cubic(sparsity: float, progress: float) -> float:
    """Return the sparsity at a point from 0 to 1 of the way (Zhu and Gupta 2017, equation 1, from 0 on)."""
    return sparsity * (1 - (1 - min(progress, 1.0)) ** 3)
