"""How much memory a process needs, has needed and may take."""

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import psutil
import torch
from torch import Tensor, nn

SHARE_OF_DEVICE = 0.8  # the rest is for what the allocator cannot use, and for larger steps
SHARE_OF_HOST = 0.5  # others want memory, too, and may want more
LOOK = 0.001  # seconds between looks at what is held


def peak_mb(device: torch.device) -> float:
    """Return the peak memory in 10^6 bytes: what was allocated on a GPU, otherwise that of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def used(device: torch.device) -> int:
    """Return the bytes that this process holds now: of a GPU what is allocated, otherwise of the host."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return int(psutil.Process().memory_info().rss)


@contextmanager
def peak(device: torch.device) -> Iterator[list[int]]:
    """Yield a list that holds, after the block, the most bytes that this process has held in it."""
    found = [0]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield found
        found[0] = torch.cuda.max_memory_allocated(device)
        return
    done = Event()

    def watch() -> None:
        while True:
            found[0] = max(found[0], used(device))
            if done.wait(LOOK):
                return

    watcher = Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        done.set()
        watcher.join()


def limit(device: torch.device, memory_gb: float | None) -> float:
    """Return the bytes that this process may take: what is given, or a good part of what is free."""
    if memory_gb is not None:
        return memory_gb * 1e9
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return SHARE_OF_DEVICE * (free + torch.cuda.memory_reserved(device))
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes that want the same
    return used(device) + SHARE_OF_HOST * float(psutil.virtual_memory().available) / beside


def moments(module: nn.Module) -> int:
    """Return the bytes of the two moments that AdamW keeps of each parameter that learns."""
    return 2 * sum(part.nbytes for part in module.parameters() if part.requires_grad)


class Graphs:
    """The graphs that are kept from the forward to the backward: how many bytes they hold, and may hold."""

    def __init__(self, module: nn.Module, room: float, device: torch.device | str = "cpu") -> None:
        self.room, self.device = room, torch.device(device)
        self.held = self.largest = 0
        self._own = {part.untyped_storage().data_ptr() for part in module.parameters()}

    def clear(self) -> None:
        self.held = 0

    def fits(self) -> bool:
        """Say whether there is room for one more; the first is not weighed before it is there."""
        return self.held < self.room and self.held + self.largest <= self.room

    @contextmanager
    def weigh(self) -> Iterator[None]:
        """Count the bytes that the graph made in the block holds."""
        with weighed(self._own, self.device) as bytes_:
            yield
        self.held += bytes_[0]
        self.largest = max(self.largest, bytes_[0])


@contextmanager
def weighed(own: set[int], device: torch.device) -> Iterator[list[int]]:
    """Yield a list that holds, after the block, the bytes of the graph that was made in it.

    On a GPU that is what was allocated in between, elsewhere what the graph has saved less what is `own`.
    """
    found = [0]
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        yield found
        found[0] = torch.cuda.memory_allocated(device) - before
        return
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # the output of a node, saved as it is, would hold the node that holds it

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield found
    found[0] = sum(size for place, size in saved.items() if place not in own)
