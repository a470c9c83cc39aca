"""Encoders to tune."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusion import Encoder, Encoding, Processor


class Raw(Processor):
    def decode(self, raw: Any) -> Any:
        return raw


class Wrapped(Encoder):
    """An encoder that is this module and nothing else."""

    def __init__(self, body: nn.Module, dim: int) -> None:
        super().__init__()
        self.dim, self.processor, self.body = dim, Raw(), body

    def forward(self, x: Tensor) -> Encoding:
        found = self.body(x)
        return Encoding(found[0] if isinstance(found, tuple) else found)


@pytest.fixture
def wrap() -> Callable[[nn.Module, int], Encoder]:
    return Wrapped


@pytest.fixture
def four_layers() -> Encoder:
    """A, B, C and D, in this order; each a matrix and a bias."""
    torch.manual_seed(0)
    return Wrapped(nn.Sequential(*(nn.Linear(3, 3) for _ in range(4))), 3)
