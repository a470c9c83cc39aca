"""Look at numbers only where to look is not to wait for a device."""

import torch
from torch import Tensor


def surely(flags: Tensor) -> bool:
    """Tell whether all are known to be True; False where to know takes a wait, and in a traced graph."""
    return flags.device.type == "cpu" and not torch.compiler.is_compiling() and bool(flags.all())
