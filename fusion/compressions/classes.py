"""Numbers in classes: what is joined is of one class from then on, and class 0 has to stay."""

import torch
from torch import Tensor

STAY = torch.zeros((), dtype=torch.long)
"""The number whose class has to stay."""


class Classes:
    """A partition of the numbers that were handed out (union-find, over tensors of them)."""

    def __init__(self) -> None:
        self._table = torch.zeros(1, dtype=torch.long)  # class of each number, the least number in it

    @property
    def count(self) -> int:
        """One more than the largest class can be."""
        return len(self._table)

    def new(self, count: int) -> Tensor:
        """Return `count` numbers, each of a class of its own."""
        start = len(self._table)
        fresh = torch.arange(start, start + count)
        self._table = torch.cat([self._table, fresh])
        return fresh

    def of(self, numbers: Tensor) -> Tensor:
        """Return the class of each number, in its shape."""
        return self._table[numbers]

    def join(self, one: Tensor, other: Tensor) -> None:
        """Make one class of the classes of every two numbers at the same place, after broadcasting."""
        one, other = torch.broadcast_tensors(one, other)  # type: ignore[no-untyped-call]
        for dim in range(one.ndim):
            if one.stride(dim) == 0 and other.stride(dim) == 0:  # the same all along
                one, other = one.narrow(dim, 0, 1), other.narrow(dim, 0, 1)
        low, high = torch.aminmax(torch.stack([self.of(one), self.of(other)]), dim=0)
        pairs = torch.unique(low * self.count + high)[None]
        pairs = torch.cat([pairs // self.count, pairs % self.count])
        pairs = pairs[:, pairs[0] != pairs[1]]
        if not pairs.numel():
            return
        parent: dict[int, int] = {}

        def root(number: int) -> int:
            while (above := parent.get(number, number)) != number:
                number = above
            return number

        for first, second in pairs.T.tolist():
            least, most = sorted((root(first), root(second)))
            parent[most] = least
        moved = torch.arange(len(self._table))
        for number in list(parent):
            moved[number] = root(number)
        self._table = moved[self._table]
