"""Look at numbers only where to look is not to wait for a device."""

import torch
from torch import Tensor


def near(numbers: Tensor) -> bool:
    """Tell whether to look at these is no wait; it is in a traced graph too."""
    return numbers.device.type == "cpu" and not torch.compiler.is_compiling()


def surely(flags: Tensor) -> bool:
    """Tell whether all are known to be True; False where to know takes a wait, and in a traced graph."""
    return near(flags) and bool(flags.all())
