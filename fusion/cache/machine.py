"""The processes of a training that share a machine, and so its cache."""

from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object


class Machine:
    """The part of a training's processes that this one shares a cache with; without a training it is alone.

    Each machine fills a cache of its own; on a disk that several share the first to be done counts.
    """

    def __init__(self, accelerator: Accelerator | None = None) -> None:
        self.together = accelerator is not None and accelerator.num_processes > 1
        self.part: int = 0 if accelerator is None else accelerator.local_process_index
        self.first = 0 if accelerator is None else accelerator.process_index - self.part
        self.parts = len(self.gather(None))

    @property
    def main(self) -> bool:
        return self.part == 0

    def gather(self, told: Any) -> list[Any]:
        """Return what each process of the machine tells, in order; all of the training call it."""
        if not self.together:
            return [told]
        return [one for first, one in gather_object([(self.first, told)]) if first == self.first]
