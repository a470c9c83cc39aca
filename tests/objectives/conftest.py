"""Embeddings of three modalities at random, with the content and the garbage that a test asks for."""

from collections.abc import Callable, Mapping, Sequence

import pytest
import torch
import torch.nn.functional as F

from fusion import Embeddings

NAMES = ("image", "text", "audio")
WIDTH = 4

torch.set_num_threads(1)  # with two busy cores, two threads made these tests ten times slower


@pytest.fixture(scope="session")
def random() -> Callable[..., Embeddings]:
    """Random embeddings for given presence; absent slots hold `garbage`."""

    def build(
        present: Sequence[Sequence[bool]],  # one row each, in the order of NAMES
        content: Mapping[str, Sequence[int]] | None = None,
        garbage: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> Embeddings:
        generator = torch.Generator().manual_seed(0)
        b = len(present)
        shown = dict(zip(NAMES, torch.tensor(present, dtype=torch.bool).T, strict=True))
        pooled = {}
        for name in NAMES:
            unit = F.normalize(torch.randn(b, WIDTH, generator=generator, dtype=torch.float64), dim=-1)
            pooled[name] = torch.where(shown[name][:, None], unit, garbage).to(dtype)
        held = {name: torch.tensor((content or {}).get(name, [0] * b)) for name in NAMES}
        return Embeddings(pooled, shown, {}, {}, held, torch.arange(b) // 2 % 3)  # two rows of a source

    return build
