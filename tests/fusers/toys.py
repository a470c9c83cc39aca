"""Embeddings of three modalities, made by hand or at random."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from fusion import Embeddings

NAMES = ("image", "text", "audio")
WIDTH = 8


def literal(**rows: Sequence[Sequence[float] | None]) -> Embeddings:
    """Embeddings of given pooled vectors, None where a modality is absent; no tokens."""
    width = next(len(row) for given in rows.values() for row in given if row is not None)
    pooled = {n: torch.tensor([r if r is not None else [0.0] * width for r in g]) for n, g in rows.items()}
    present = {n: torch.tensor([r is not None for r in g]) for n, g in rows.items()}
    nothing = torch.zeros(len(rows["image"]), dtype=torch.long)
    return Embeddings(pooled, present, {}, {}, dict.fromkeys(rows, nothing), nothing)


def random(
    present: Sequence[Sequence[bool]],  # one row each, in the order of NAMES
    tokens: Iterable[str] = NAMES,
    garbage: float = 0.0,
    seed: int = 0,
) -> Embeddings:
    """Random embeddings for given presence; absent and masked slots hold `garbage`."""
    random = torch.Generator().manual_seed(seed)
    shown = dict(zip(NAMES, torch.tensor(present, dtype=torch.bool).T, strict=True))
    b = len(present)
    pooled: dict[str, Tensor] = {}
    vectors: dict[str, Tensor] = {}
    mask: dict[str, Tensor] = {}
    for t, name in enumerate(NAMES, start=2):
        unit = torch.nn.functional.normalize(torch.randn(b, WIDTH, generator=random), dim=-1)
        pooled[name] = torch.where(shown[name][:, None], unit, garbage)
        real = torch.rand(b, t, generator=random) < 0.7
        content = torch.randn(b, t, WIDTH, generator=random)
        if name in tokens:
            mask[name] = real & shown[name][:, None]
            vectors[name] = torch.where(mask[name][..., None], content, garbage)
    nothing = torch.zeros(b, dtype=torch.long)
    return Embeddings(pooled, shown, vectors, mask, dict.fromkeys(NAMES, nothing), nothing)
