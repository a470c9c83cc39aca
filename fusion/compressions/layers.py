"""Layers whose channels are known: which axes of which parameters count them."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from fusion.compressions.heads import HeadAttention


class Layer(NamedTuple):
    """How the channels of a layer lie in its parameters. Where `into` is 0 they are those of its input."""

    axis: int  # of input and output; 0: both have to stay
    out: int  # channels, or heads
    into: int
    outs: tuple[tuple[str, int], ...]  # parameter and axis, which counts `out` or a multiple of it
    intos: tuple[tuple[str, int], ...] = ()
    size: int = 1  # places of one channel, one after the other

    def places(self, length: int) -> Tensor:
        """Return which channel each place of an axis is of, (length,); they come again for key and value."""
        return torch.arange(length) // self.size % self.out if self.size > 1 else torch.arange(length)


OUT, INTO = (("weight", 0), ("bias", 0)), (("weight", 1),)
EACH = (*OUT, ("running_mean", 0), ("running_var", 0))
HEADS = (("in_proj_weight", 0), ("in_proj_bias", 0), ("out_proj.weight", 1))


def layer_of(module: nn.Module) -> Layer | None:
    """Return how the channels of a module lie; None where it is none of these, or made of others."""
    match module:
        case nn.Linear() | _ConvNd() if not _own(module, "weight"):
            return None
        case nn.Linear():
            return Layer(-1, len(module.weight), module.weight.shape[1], OUT, INTO)
        case _ConvTransposeNd():
            return None
        case _ConvNd(groups=1):
            return Layer(1 - module.weight.ndim, len(module.weight), module.weight.shape[1], OUT, INTO)
        case _ConvNd() if module.groups == module.in_channels == module.out_channels:
            return Layer(1 - module.weight.ndim, module.groups, 0, OUT)
        case _BatchNorm():
            return Layer(1, module.num_features, 0, EACH)
        case nn.GroupNorm(num_groups=1) if type(module) is nn.GroupNorm:
            return Layer(1, module.num_channels, 0, OUT)
        case CountedNorm():
            return Layer(1, len(module.weight), 0, OUT)
        case nn.MultiheadAttention() | HeadAttention():
            plain = _own(module, "in_proj_weight") and _own(module.out_proj, "weight")
            plain = plain and module.bias_k is None and not module.add_zero_attn
            return Layer(0, module.num_heads, 0, HEADS, size=module.head_dim) if plain else None
    return None


def _own(module: nn.Module, name: str) -> bool:
    """Whether a tensor is a parameter, and not computed from something else."""
    return module._parameters.get(name) is not None


def refit(module: nn.Module) -> None:
    """Let the numbers that a layer has beside its parameters say what its parameters do."""
    match module:
        case nn.Linear():
            module.out_features, module.in_features = module.weight.shape
        case _ConvNd():
            module.groups = len(module.weight) if module.groups > 1 else 1
            module.out_channels = len(module.weight)
            module.in_channels = module.weight.shape[1] * module.groups
        case _BatchNorm():
            kept = module.running_mean if module.running_mean is not None else module.weight
            module.num_features = len(kept)


def replacement(module: nn.Module) -> nn.Module:
    """Return what computes the same as a layer of whose channels some are taken: itself, mostly."""
    match module:
        case nn.GroupNorm():
            return CountedNorm(module)
        case nn.MultiheadAttention():
            return HeadAttention(module)
    return module


class CountedNorm(nn.Module):
    """GroupNorm of one group over channels of which some were taken, and count as zeros.

    Without them mean and variance would be others, and with them every channel that is left.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.channels, self.eps = norm.num_channels, norm.eps
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (n, c, ...), of what were once (n, channels, ...)."""
        dims, share = tuple(range(1, x.ndim)), x.shape[1] / self.channels
        mean = x.float().mean(dims, keepdim=True)  # of what is left; torch.var_mean takes ten times as long
        centred = x - mean
        away = (1 - share) * mean  # from there to the mean with the zeros
        variance = share * (centred.square().mean(dims, keepdim=True) + away * mean)
        weight, bias = (part.view(-1, *[1] * (x.ndim - 2)) for part in (self.weight, self.bias))
        factor = (variance + self.eps).rsqrt() * weight  # (n, c, 1 ...)
        return (centred * factor + (bias + away * factor)).to(x.dtype)
