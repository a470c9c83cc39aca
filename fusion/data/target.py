"""Read a target from what a row holds."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusion.batch import Target
from fusion.errors import DataError


def read_target(name: str, raw: Any, target: Target) -> Tensor:
    """Return the value as the target wants it. Raises DataError for one that does not fit."""
    try:
        value = np.asarray(raw)
    except (TypeError, ValueError, RuntimeError) as error:  # a ragged list, a tensor on a GPU
        raise DataError(f"target {name!r} is {raw!r}, not a number") from error
    if value.dtype.kind not in "biuf":
        raise DataError(f"target {name!r} is {raw!r}, not a number")
    if value.shape != target.shape:
        raise DataError(f"target {name!r} has shape {value.shape}, expected {target.shape}")
    if value.dtype.kind == "f" and not target.dtype.is_floating_point:
        raise DataError(f"target {name!r} is {raw!r}, not a whole number")
    if target.below is not None and ((value < 0) | (value >= target.below)).any():
        raise DataError(f"target {name!r} is {raw!r}, outside 0..{target.below - 1}")
    tensor = torch.from_numpy(value.astype(np.float64 if value.dtype.kind == "f" else np.int64))
    tensor = tensor.to(target.dtype)
    if target.dtype.is_floating_point and tensor.isinf().any():
        raise DataError(f"target {name!r} is {raw!r}, too large or infinite")
    return tensor
