"""Embeddings of three modalities at random, with the content and the garbage that a test asks for."""

from collections.abc import Mapping, Sequence

import pytest
import torch
import torch.nn.functional as F

from fusion import Embeddings

NAMES = ("image", "text", "audio")
WIDTH = 4
SOME = [(True, True, True), (True, True, False), (True, False, True), (False, True, True), (True, True, True)]


def random(
    present: Sequence[Sequence[bool]],  # one row each, in the order of NAMES
    content: Mapping[str, Sequence[int]] | None = None,
    garbage: float = 0.0,
    dtype: torch.dtype = torch.float32,
) -> Embeddings:
    """Random embeddings for given presence; absent slots hold `garbage`."""
    generator = torch.Generator().manual_seed(0)
    b = len(present)
    shown = dict(zip(NAMES, torch.tensor(present, dtype=torch.bool).T, strict=True))
    pooled = {}
    for name in NAMES:
        unit = F.normalize(torch.randn(b, WIDTH, generator=generator, dtype=torch.float64), dim=-1)
        pooled[name] = torch.where(shown[name][:, None], unit, garbage).to(dtype)
    held = {name: torch.tensor((content or {}).get(name, [0] * b)) for name in NAMES}
    return Embeddings(pooled, shown, {}, {}, held, torch.arange(b) // 2 % 3)  # two rows of a source


def matches(embeddings: Embeddings, pair: Sequence[str], labels: Sequence[int], i: int, j: int) -> bool:
    """Whether row j belongs to row i: the same row, label or sample."""
    alike = any(embeddings.content[m][i] == embeddings.content[m][j] != 0 for m in pair)
    return i == j or labels[i] == labels[j] != -100 or alike


PAIRS = pytest.mark.parametrize(
    "pairs", [[("image", "text")], [("audio", "text"), ("image", "audio"), ("text", "image")]]
)
MATCHES = pytest.mark.parametrize(
    ("labels", "content"),
    [
        ([-100] * 5, {}),
        ([0, 1, 0, 1, 1], {}),
        ([0, -100, 0, -100, 0], {"image": [4, 4, 5, 0, 0], "audio": [0, 9, 9, 9, 8]}),
    ],
)
"""Of the rows `SOME`."""
