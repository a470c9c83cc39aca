"""Bring every channel of a series to its own scale, and cut it into patches that overlap."""

import torch
import torch.nn.functional as F
from torch import Tensor

FLAT = 1e-6  # of the level: what varies less is the rounding of fp32


def normalise(x: Tensor, known: Tensor) -> Tensor:
    """Return x (n, t, channels) with mean 0 and variance 1 over the known points of each series and channel.

    The instance normalisation of RevIN (Kim et al. 2022) without its affine map, as PatchTST has it, but for
    the 1e-5 that they add to the variance: volts of an EEG would vanish beside it. 0 where a point is not
    known, or the channel is constant.
    """
    with torch.autocast(x.device.type, enabled=False):  # half precision cannot hold a level and what varies
        x = x.float().masked_fill(~known, 0.0)
        count = known.sum(1, keepdim=True).clamp(min=1)
        mean = (x / count).sum(1, keepdim=True)
        apart = (x - mean).masked_fill(~known, 0.0)
        largest = apart.abs().amax(1, keepdim=True)
        apart = apart / largest.masked_fill(largest <= FLAT * mean.abs(), torch.inf)  # its square always fits
        variance = apart.square().sum(1, keepdim=True) / count
        return apart / torch.where(variance > 0, variance, 1.0).sqrt()


def cut(x: Tensor, size: int, stride: int) -> Tensor:
    """Return the patches of x (n, t, channels) as (n, channels, patches, size), the end padded with zeros."""
    length = x.shape[1]
    patches = 1 + max(0, -(-(length - size) // stride))
    padded = F.pad(x.transpose(1, 2), (0, (patches - 1) * stride + size - length))
    return padded.unfold(2, size, stride)


def seen(known: Tensor, length: Tensor, size: int, stride: int) -> Tensor:
    """Return which patches are real, (n, channels, patches): some point is known, and one is new.

    A patch that holds nothing but points of the one before is none of a series that ends there, which would
    otherwise have more patches among longer series than alone.
    """
    points = cut(known.float(), size, stride).amax(dim=3) > 0
    ends = torch.arange(points.shape[2], device=known.device) * stride + size - stride  # of the one before
    return points & ((ends < length[:, None]) | (ends <= size - stride))[:, None]
