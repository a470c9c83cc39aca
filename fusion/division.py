"""How work on the rows of all ranks is divided among them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch.distributed as dist
from torch import Tensor


class Division(NamedTuple):
    """This rank is number `rank` of `ranks` that hold the same rows; by default it is alone and does all."""

    rank: int = 0
    ranks: int = 1

    def part(self, count: int) -> range:
        """Return which of `count` rows this rank works on."""
        return range(count * self.rank // self.ranks, count * (self.rank + 1) // self.ranks)

    def add_up(self, *parts: Tensor) -> None:
        """Put the sum over all ranks into each tensor."""
        if self.ranks > 1:
            for part in parts:
                dist.all_reduce(part)

    def stack(self, part: Tensor) -> Tensor:
        """Return what each rank has, (ranks, ...)."""
        stacked = part.new_zeros(self.ranks, *part.shape)
        stacked[self.rank] = part
        self.add_up(stacked)
        return stacked


ALONE = Division()

_current: ContextVar[Division] = ContextVar("division", default=ALONE)


@contextmanager
def divided(division: Division) -> Iterator[None]:
    """Within it, what knows how to share its work with other ranks does; all of them must enter it."""
    token = _current.set(division)
    try:
        yield
    finally:
        _current.reset(token)


def division() -> Division:
    """Return how work is divided here."""
    return _current.get()
