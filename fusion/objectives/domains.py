"""Compare the rows of different sources, on any number of them, without a look at the host."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fusion.embeddings import Embeddings
from fusion.errors import unknown


def check_modality(name: str | None, modalities: Sequence[str]) -> str | None:
    """Return the name. Raises ValueError when there is no such modality."""
    if name is not None and name not in modalities:
        raise ValueError(unknown("modality", name, modalities))
    return name


def check_several(sources: Sequence[str]) -> int:
    """Return how many sources there are. Raises ValueError for a single one."""
    if len(sources) < 2:
        raise ValueError("a single source has none to be compared with; give a second one")
    return len(sources)


def mean_of_pairs(apart: Tensor, counted: Tensor) -> Tensor:
    """Return the mean of `apart`, (pairs,), over the pairs that are counted; 0 where none is."""
    return (apart * counted).sum() / counted.sum().clamp(min=1)


def rows_of(embeddings: Embeddings, fused: Tensor, modality: str | None) -> tuple[Tensor, Tensor]:
    """Return the vectors of a modality, or the fused ones, (b, w), and which rows take part, (b,) bool.

    A row does if it has the modality, or any at all; the vectors of others are zeros.
    """
    if modality is not None:
        return embeddings.visible(modality), embeddings.present[modality]
    present = torch.stack(list(embeddings.present.values())).any(dim=0)
    return fused.masked_fill(~present.unsqueeze(-1), 0.0), present


def how_many_equal(values: Tensor) -> Tensor:
    """Return how many of the values, (b,), are equal to each, (b,)."""
    values = values.contiguous()
    ordered = values.sort().values
    return torch.searchsorted(ordered, values, right=True) - torch.searchsorted(ordered, values)


def by_source(source: Tensor, rows: Tensor, sources: int) -> Tensor:
    """Return (sources, b) bool: the row takes part and is of this source."""
    return (torch.arange(sources, device=source.device).unsqueeze(1) == source) & rows


def mean_of_sources(each: Tensor, members: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean over sources of the mean over their rows of `each`, (b,); 0 where no row takes part.

    `members` is (sources, b) bool; `weight`, (b,), says how much a row counts within its source.
    """
    share = members.float() if weight is None else members * weight
    total = share.sum(dim=1)
    means = (share * each).sum(dim=1) / total.clamp(min=torch.finfo(total.dtype).tiny)
    return means.sum() / members.any(dim=1).sum().clamp(min=1)
