"""Tensors in files, as a merging is given them, and mergings by name."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fusion import Merging, Registry, Stored
from fusion.tensors import stored, write

REGISTRY = Registry()


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., list[Stored]]:
    """Write each tensor, or list of numbers, into a file of its own."""

    def make(*tensors: Tensor | Sequence[Any]) -> list[Stored]:
        made = []
        for number, tensor in enumerate(tensors):
            path = tmp_path / f"{len(list(tmp_path.iterdir()))}-{number}"
            write(path, {"tensor": tensor if isinstance(tensor, Tensor) else torch.tensor(tensor)})
            made.append(stored(path)["tensor"])
        return made

    return make


@pytest.fixture
def build() -> Callable[..., Merging]:
    """Build a merging by its name."""

    def make(name: str, **options: Any) -> Merging:
        return REGISTRY.find("merging", name).component.resolve()(**options)  # type: ignore[no-any-return]

    return make
