"""How much memory a process has needed."""

import resource
import sys

import torch


def peak_mb(device: torch.device) -> float:
    """Return the peak memory in 10^6 bytes: what was allocated on a GPU, otherwise that of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
