"""What the runs have learned and agree on, added to the model that all started from."""

from collections.abc import Sequence
from itertools import compress
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fusion.merging import Merging
from fusion.tensors import Stored


class Ties(Merging):
    """Trim, elect signs, merge (Yadav et al. 2023, TIES-Merging, algorithm 1), tensor by tensor.

    Of (run - base) the share `density` of the largest numbers is kept. Where the signs of what is left
    differ, the one with more weight times size wins, the positive one where both have the same. The weighted
    mean of the numbers of that sign, times `scale`, is added to the base.
    """

    needs_base = True

    def __init__(
        self,
        *,
        density: Annotated[float, Field(gt=0, le=1)] = 0.2,
        scale: Annotated[float, Field(gt=0)] = 1.0,
    ) -> None:
        self.density, self.scale = density, scale

    def merge(
        self, name: str, tensors: Sequence[Stored], weights: Sequence[float], base: Stored | None
    ) -> Tensor:
        assert base is not None
        used = list(compress(tensors, weights))
        weight = torch.tensor(list(filter(None, weights)), dtype=torch.float64)[:, None]  # (r, 1)
        least = torch.tensor([self._least(tensor, base) for tensor in used])[:, None]  # (r, 1)
        merged = torch.empty(base.shape, dtype=base.dtype)
        for start, end in base.spans():
            learned = torch.stack([_learned(tensor, base, start, end) for tensor in used])  # (r, n)
            learned = learned.where(learned.abs() >= least, 0.0).double()
            positive = (weight * learned).sum(0) >= 0  # (n,) the sign that wins
            agree = weight * (learned.sign() == torch.where(positive, 1.0, -1.0))
            mean = (agree * learned).sum(0) / agree.sum(0).where(agree.any(0), 1.0)
            merged.view(-1)[start:end] = base.part(start, end).double() + self.scale * mean
        return merged

    def _least(self, tensor: Stored, base: Stored) -> float:
        """Return the size of the smallest number that is kept."""
        sizes = torch.empty(tensor.numel())
        for start, end in tensor.spans():
            sizes[start:end] = _learned(tensor, base, start, end).abs()
        kept = max(1, int(self.density * len(sizes)))
        sizes.numpy().partition(len(sizes) - kept)  # in place
        return sizes[-kept].item()


def _learned(tensor: Stored, base: Stored, start: int, end: int) -> Tensor:
    return (tensor.part(start, end).double() - base.part(start, end).double()).float()
