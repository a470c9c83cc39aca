"""Retrieval between two modalities: recall@k, mean reciprocal rank and class hit@1."""

from typing import NamedTuple

import torch
from torch import Tensor

CUTOFFS = (1, 5, 10)
BUDGET = 2**24
"""Similarities held at once: a chunk of queries against the whole gallery, never all against all."""


class Items(NamedTuple):
    """The distinct samples of a modality, and for each row that has it which of them it holds.

    A row with several choices is there once for each, under the same place.
    """

    vectors: Tensor  # (u, w)
    labels: Tensor  # (u,) long, -100 where there is none
    of_row: Tensor  # (r,) long
    place: Tensor  # (2, r) long: the source and the row in it

    def to(self, device: torch.device) -> "Items":
        return Items(*(part.to(device) for part in self))


def distinct(vectors: Tensor, labels: Tensor, content: Tensor, place: Tensor) -> Items:
    """Merge rows that hold the same sample: equal content that is not 0.

    `vectors` (r, w), `labels` (r,), `content` (r,), `place` (2, r). Without this a caption that many images
    share would compete with itself.
    """
    own = torch.arange(len(content), device=content.device)
    keys = torch.stack([content, torch.where(content == 0, own, -1)], dim=1)
    kinds, of_row = torch.unique(keys, dim=0, return_inverse=True)
    first = torch.full((len(kinds),), len(content), device=content.device)
    first = first.scatter_reduce(0, of_row, own, "amin")
    return Items(vectors[first], labels[first], of_row, place)


def retrieval(queries: Items, gallery: Items) -> dict[str, float]:
    """Return the metrics of searching each distinct query in the gallery of distinct samples.

    A gallery item is right for a query when some row holds both (so with five captions an image has five
    right ones). The rank of a query is that of its best right item; recall and mrr are over the queries
    that have one. hit@1: the nearest item has the query's label, over the queries whose class is in the
    gallery, whether or not a row holds both. A wrong item that is as near counts as nearer, so a model
    that maps everything to one point finds nothing.
    """
    pairs = _pairs(queries, gallery)  # (p, 2), sorted by query
    count = len(queries.vectors)
    bounds = torch.searchsorted(
        pairs[:, 0].contiguous(), torch.arange(count + 1, device=pairs.device)
    ).tolist()
    known = torch.isin(queries.labels, gallery.labels) & (queries.labels != -100)
    ranks, hits = [], []
    size = max(1, BUDGET // len(gallery.vectors))
    for start in range(0, count, size):
        stop = min(start + size, count)
        similarity = queries.vectors[start:stop] @ gallery.vectors.T  # (c, u)
        alike = gallery.labels == queries.labels[start:stop, None]
        nearest = similarity.amax(dim=1, keepdim=True)
        hits.append(~(_not_below(similarity, nearest) & ~alike).any(dim=1))
        query, item = pairs[bounds[start] : bounds[stop]].unbind(dim=1)
        right = torch.zeros_like(similarity, dtype=torch.bool)
        right[query - start, item] = True
        best = similarity.masked_fill(~right, -torch.inf).amax(dim=1, keepdim=True)
        ranks.append(1 + (_not_below(similarity, best) & ~right).sum(dim=1))
    rank, hit = torch.cat(ranks), torch.cat(hits)
    metrics = (
        {"hit@1": hit[known].double().mean().item(), "labelled": int(known.sum())} if known.any() else {}
    )
    paired = torch.zeros(count, dtype=torch.bool, device=rank.device)
    paired[pairs[:, 0]] = True
    if paired.any():
        rank = rank[paired]
        metrics |= {f"recall@{k}": (rank <= k).double().mean().item() for k in CUTOFFS}
        metrics |= {"mrr": (1 / rank.double()).mean().item(), "queries": len(rank)}
    return metrics | {"gallery": len(gallery.vectors)} if metrics else {}


def _pairs(queries: Items, gallery: Items) -> Tensor:
    """Return which query and which gallery item some row holds together, (p, 2), each once, sorted."""
    together = torch.cat([queries.place, gallery.place], dim=1)
    row: Tensor = torch.unique(together, dim=1, return_inverse=True)[1]
    asked = row[: queries.place.shape[1]]
    held, order = row[queries.place.shape[1] :].sort()
    first = torch.searchsorted(held, asked)
    many = torch.searchsorted(held, asked, right=True) - first  # gallery rows of the same place
    query = torch.repeat_interleave(torch.arange(len(asked), device=row.device), many)
    turn = torch.arange(len(query), device=row.device) - (many.cumsum(0) - many)[query]
    item = gallery.of_row[order[first[query] + turn]]
    pairs: Tensor = torch.unique(torch.stack([queries.of_row[query], item], dim=1), dim=0)
    return pairs


def _not_below(similarity: Tensor, bound: Tensor) -> Tensor:
    return ~(similarity < bound)  # with `>=` vectors of NaN would find everything
