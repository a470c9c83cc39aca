"""Random numbers as a function of keys: the same on any device, in any batch, whatever was drawn before."""

import math

import torch
from torch import Tensor

LOW = 0xFFFFFFFF  # the 32 bits that are mixed
GOLDEN = 0x9E3779B9


def keyed(*parts: int | Tensor) -> Tensor:
    """Return a key, () or of the shape of the parts, that follows from all of them."""
    key = torch.zeros((), dtype=torch.long)
    for part in parts:
        key = _mix(key + part + GOLDEN) if isinstance(part, Tensor) else _mix(key + (part & LOW) + GOLDEN)
    return key


def uniform(keys: Tensor, count: int | Tensor, salt: int = 0) -> Tensor:
    """Return `count` numbers in [0, 1] for each of n keys, (n, count) fp32.

    Instead of how many, their places in the sequence of each key may be given, (n, count) long.
    """
    place = torch.arange(count, device=keys.device) if isinstance(count, int) else count
    mixed = _mix(_mix(keys + (salt * GOLDEN & LOW))[:, None] + _mix(place + GOLDEN))
    return mixed.float() / LOW


def normal(keys: Tensor, count: int | Tensor, salt: int = 0) -> Tensor:
    """Return `count` numbers of the standard normal distribution for each of n keys, as `uniform` does."""
    small = 1e-6  # no number beyond 4.9
    return math.sqrt(2) * torch.erfinv((2 * uniform(keys, count, salt) - 1).clamp(small - 1, 1 - small))


def _mix(x: Tensor) -> Tensor:
    """Return 32 bits in which every bit depends on every bit of x, `lowbias32` (Wellons 2018)."""
    x = x & LOW
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & LOW
    x = ((x ^ (x >> 15)) * 0x846CA68B) & LOW
    return x ^ (x >> 16)
