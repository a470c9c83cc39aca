"""Let the processes of a training agree: on what one of them finds, and at every step on a number."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from fusion.errors import FusionError

Found = TypeVar("Found")


def agreed(decide: Callable[[], Found], accelerator: Accelerator) -> Found:
    """Return what the main process has found. All ranks call it; its error is raised on all of them."""
    outcome: list[Any] = [None]
    if accelerator.is_main_process:
        try:
            outcome = [decide()]
        except FusionError as error:
            outcome = [error]
    if accelerator.num_processes > 1:
        broadcast_object_list(outcome)
    if isinstance(outcome[0], FusionError):
        raise outcome[0]
    found: Found = outcome[0]
    return found


class Agreement:
    """Tells all ranks the largest number that any of them gave one step before.

    The exchange goes on, between processors, while the next step is computed. On one rank it is the number
    that was just given. All ranks make it, and call it equally often.
    """

    def __init__(self, ranks: int) -> None:
        group = dist.new_group(backend="gloo") if ranks > 1 else None
        assert not isinstance(group, int)  # as it would be on a rank that is not in the group
        self._group = group
        self._number = torch.zeros((), dtype=torch.int64)
        self._work: dist.Work | None = None

    def __call__(self, number: int) -> int:
        if self._group is None:
            return number
        if self._work is not None:
            self._work.wait()
        agreed = int(self._number)
        self._number = torch.tensor(number)
        self._work = dist.all_reduce(self._number, dist.ReduceOp.MAX, self._group, async_op=True)
        return agreed

    def close(self) -> None:
        """Leave; the others may still be at their last step."""
        if self._group is not None:
            dist.destroy_process_group(self._group)
