"""How much memory a process has needed."""

import resource
import sys

import torch


def peak_mb() -> float:
    """Return the peak memory in MB (10^6 bytes): of the GPU where there is one, otherwise of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
