"""What fusers and objectives are tried on: every subset of three modalities, with or without garbage."""

from collections.abc import Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from fusion.batch import Target
from fusion.embeddings import Embeddings
from fusion.objective import Objective
from fusion.testing.expect import expect

MODALITIES = ("image", "text", "audio")  # names in a trial, where no encoder is behind them
SOURCES = ("first", "second")  # whose rows take turns
WIDTH = 32
Presence = Sequence[tuple[bool, ...]]  # one row each, in the order of MODALITIES

EVERYTHING: Presence = [(True, True, True)] * 8
NOTHING: Presence = [(False, False, False)] * 8
MIXED: Presence = [*product([True, False], repeat=3)] * 2  # the seven subsets and nothing, twice
GARBAGE = (float("nan"), float("inf"), 3e38)


def trial(presence: Presence, tokens: bool = False, garbage: float = 0.0) -> Embeddings:
    """Return the same embeddings each time; `garbage` is what absent slots and masked tokens hold."""
    random = torch.Generator().manual_seed(0)
    b = len(presence)
    present = dict(zip(MODALITIES, torch.tensor(presence).T, strict=True))
    content = torch.arange(1, b + 1)
    dirty = 0 if garbage == 0.0 else 1  # absent slots may claim to hold the same sample as each other
    embeddings = Embeddings({}, present, {}, {}, {}, torch.arange(b) % len(SOURCES))
    for t, (name, shown) in enumerate(present.items(), start=2):
        unit = F.normalize(torch.randn(b, WIDTH, generator=random), dim=-1)
        embeddings.pooled[name] = torch.where(shown[:, None], unit, garbage)
        embeddings.content[name] = torch.where(shown, content, dirty)
        vectors = torch.randn(b, t, WIDTH, generator=random)
        mask = (torch.rand(b, t, generator=random) < 0.7) & shown[:, None]
        if tokens and shown.any():
            embeddings.tokens[name] = torch.where(mask[..., None], vectors, garbage)
            embeddings.mask[name] = mask
    return embeddings


def moved(embeddings: Embeddings, device: str) -> Embeddings:
    """Return the same embeddings on another device."""
    pooled, present, tokens, mask, content = (
        {name: part.to(device) for name, part in parts.items()} for parts in embeddings[:5]
    )
    return Embeddings(pooled, present, tokens, mask, content, embeddings.source.to(device))


def one_row(embeddings: Embeddings, row: int) -> Embeddings:
    """Return a batch of this row alone; as from the model, it has no tokens of what is absent."""
    shown = {name for name, present in embeddings.present.items() if present[row]}
    pooled, present, tokens, mask, content = (
        {name: part[row : row + 1] for name, part in parts.items()} for parts in embeddings[:5]
    )
    return Embeddings(
        pooled,
        present,
        {name: part for name, part in tokens.items() if name in shown},
        {name: part for name, part in mask.items() if name in shown},
        content,
        embeddings.source[row : row + 1],
    )


def fused_vectors(rows: int) -> Tensor:
    return torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(1))


def targets_of(objective: Objective, rows: int, known: bool = True) -> dict[str, Tensor]:
    """Return 0, 1, 0, 1 ... in each target, or the mark of a missing one."""
    for name, target in objective.targets.items():
        expect(isinstance(target, Target), f"targets[{name!r}] is {target!r}", "a fusion.Target")
    return {
        name: (torch.arange(rows) % 2)
        .to(target.dtype)
        .reshape(-1, *(1 for _ in target.shape))
        .expand(rows, *target.shape)
        .clone()
        .masked_fill(torch.tensor(not known), target.missing)
        for name, target in objective.targets.items()
    }
