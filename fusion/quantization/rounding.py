"""Matrices as integers and scales, in forms that plain files hold."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

LARGEST = 127
"""Of the integers, which are symmetric: -128 is not used."""
TINY = torch.finfo(torch.float32).tiny  # a smaller scale would itself be rounded coarsely


class Integers(NamedTuple):
    """A matrix as codes times scales; its first axis counts outputs, or the entries of a table."""

    codes: Tensor  # (out, ...) int8
    scale: Tensor  # (out,) fp32

    def floats(self) -> Tensor:
        """Return the matrix, (out, ...) fp32."""
        return self.codes.float().mul_(_beside(self.scale, self.codes))


class Form(ABC):
    """How a matrix is kept: tensors that go into a file, and the integers that they stand for.

    An element is off by at most half of what one step of its code is worth.
    """

    suffixes: tuple[str, ...]
    """How the names of the tensors end."""

    @abstractmethod
    def encode(self, weight: Tensor) -> dict[str, Tensor]:
        """Return the tensors to keep, by the suffix of their names.

        Raises ValueError where the weight holds NaN or infinity.
        """

    @abstractmethod
    def integers(self, parts: Mapping[str, Tensor], shape: torch.Size) -> Integers:
        """Return what the tensors of a weight of this shape stand for."""

    def rounded(self, weight: Tensor) -> Tensor:
        """Return the weight as it comes out of being kept, in fp32; the gradient goes through unchanged.

        The straight-through estimator (Bengio, Léonard and Courville 2013, section 4).
        """
        with torch.no_grad():
            exact = self.integers(self.encode(weight), weight.shape).floats()
        return straight(exact, weight)


class Bytes(Form):
    """A byte for each element, and a scale for each output: its largest magnitude over 127."""

    suffixes = ("int8", "scale")

    def encode(self, weight: Tensor) -> dict[str, Tensor]:
        flat = finite(weight)
        scale = (flat.abs().amax(1) / LARGEST).clamp(min=TINY)
        return {"int8": (flat / scale[:, None]).round().to(torch.int8).view_as(weight), "scale": scale}

    def integers(self, parts: Mapping[str, Tensor], shape: torch.Size) -> Integers:
        return Integers(parts["int8"], parts["scale"])


class Straight(torch.autograd.Function):
    """Is `exact`; its gradient is that of `rough`."""

    @staticmethod
    def forward(ctx: Any, exact: Tensor, rough: Tensor) -> Tensor:
        return exact.view_as(exact)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, gradient


def straight(exact: Tensor, rough: Tensor) -> Tensor:
    """Return `exact`, whose gradient goes to `rough`, of the same shape."""
    return Straight.apply(exact, rough)  # type: ignore[no-any-return]


def finite(weight: Tensor) -> Tensor:
    """Return a weight as rows, (out, k) fp32. Raises ValueError where it holds NaN or infinity."""
    flat = weight.detach().float().flatten(1)
    if not bool(flat.isfinite().all()):
        raise ValueError("it holds NaN or infinity, which no scale reaches")
    return flat


def _beside(scale: Tensor, codes: Tensor) -> Tensor:
    return scale.view(-1, *[1] * (codes.ndim - 1))
