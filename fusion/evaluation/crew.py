"""The ranks of an evaluation: the first one keeps what is measured, the others help it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor

Work = Callable[[Sequence[Tensor], int, int], Tensor]


class Crew:
    """Divides work on tensors over the ranks; without an accelerator there is one rank."""

    def __init__(self, accelerator: Accelerator | None = None) -> None:
        self.rank = 0 if accelerator is None else accelerator.process_index
        self.ranks = 1 if accelerator is None else accelerator.num_processes
        self.device = torch.device("cpu") if accelerator is None else accelerator.device

    def gather(self, one: Any) -> list[Any]:
        """Return what all ranks have, in their order, on the first; nothing on the others."""
        if self.ranks == 1:
            return [one]
        found: list[Any] = [None] * self.ranks
        dist.gather_object(one, found if self.rank == 0 else None)
        return found if self.rank == 0 else []

    def divide(self, work: Work, tensors: Sequence[Tensor]) -> Tensor:
        """Return the sum of what `work(tensors, rank, ranks)` gives on all ranks; the first one calls it.

        The others get the tensors while they `follow` the same work.
        """
        held = self._share(tensors)
        assert held is not None
        return self._done(work, held)

    @contextmanager
    def leading(self) -> Iterator[None]:
        """Let the others follow what is divided within; they are let go in any case."""
        try:
            yield
        finally:
            self._share(None)

    def follow(self, work: Work) -> None:
        """Do this rank's part of what the first divides until it lets go."""
        while (held := self._share(None)) is not None:
            self._done(work, held)

    def _share(self, tensors: Sequence[Tensor] | None) -> list[Tensor] | None:
        """Give all ranks the tensors of the first one, on their device."""
        held = None if tensors is None else [tensor.to(self.device).contiguous() for tensor in tensors]
        if self.ranks == 1:
            return held
        told = [None if held is None else [(tensor.shape, tensor.dtype) for tensor in held]]
        broadcast_object_list(told)
        if told[0] is None:
            return None
        if held is None:
            held = [torch.empty(shape, dtype=dtype, device=self.device) for shape, dtype in told[0]]
        for tensor in held:
            if tensor.numel():
                dist.broadcast(tensor, 0)
        return held

    def _done(self, work: Work, held: Sequence[Tensor]) -> Tensor:
        part = work(held, self.rank, self.ranks)
        if self.ranks > 1:
            dist.reduce(part, 0)
        return part
