"""Retrieval between two modalities: recall@k, mean reciprocal rank and class hit@1."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fusion.evaluation.crew import Crew

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
    share would compete with itself. The samples are in the order in which they come first; where all differ,
    the vectors are not copied.
    """
    own = torch.arange(len(content), device=content.device)
    keys = torch.stack([content, torch.where(content == 0, own, -1)], dim=1)
    kinds, of_row = torch.unique(keys, dim=0, return_inverse=True)
    if len(kinds) == len(content):
        return Items(vectors, labels, own, place)
    first = torch.full((len(kinds),), len(content), device=content.device)
    first, order = first.scatter_reduce(0, of_row, own, "amin").sort()
    return Items(vectors[first], labels[first], order.argsort()[of_row], place)


def retrieval(queries: Items, gallery: Items, crew: Crew | None = None) -> dict[str, float]:
    """Return the metrics of searching each distinct query in the gallery of distinct samples.

    A gallery item is right for a query when some row holds both (so with five captions an image has five
    right ones). The rank of a query is that of its best right item; recall and mrr are over the queries
    that have one. hit@1: the nearest item has the query's label, over the queries whose class is in the
    gallery, whether or not a row holds both. A wrong item that is as near counts as nearer, so a model
    that maps everything to one point finds nothing. The other ranks of a crew `follow` the `search`.
    """
    pairs = _pairs(queries, gallery)  # (p, 2), sorted by query
    count = len(queries.vectors)
    known = torch.isin(queries.labels, gallery.labels) & (queries.labels != -100)
    held = [queries.vectors, queries.labels, gallery.vectors, gallery.labels, pairs]
    rank, hit = (crew or Crew()).divide(search, held).to(pairs.device)
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


def search(held: Sequence[Tensor], turn: int, turns: int) -> Tensor:
    """Return the rank of each query and whether its nearest item has its label, (2, u) long.

    Every n-th chunk of queries is searched, the others are 0. The chunks do not depend on how many share
    them, so that a similarity has the same bits whoever computes it.
    """
    vectors, labels, gallery, gallery_labels, pairs = held
    found = torch.zeros(2, len(vectors), dtype=torch.long, device=vectors.device)
    size = max(1, BUDGET // len(gallery))
    for start in range(turn * size, len(vectors), turns * size):
        stop = min(start + size, len(vectors))
        similarity = vectors[start:stop] @ gallery.T  # (c, u)
        alike = gallery_labels == labels[start:stop, None]
        nearest = similarity.amax(dim=1, keepdim=True)
        found[1, start:stop] = ~(_not_below(similarity, nearest) & ~alike).any(dim=1)
        bounds = torch.tensor([start, stop], device=pairs.device)
        first, last = torch.searchsorted(pairs[:, 0].contiguous(), bounds).tolist()
        query, item = pairs[first:last].unbind(dim=1)
        right = torch.zeros_like(similarity, dtype=torch.bool)
        right[query - start, item] = True
        best = similarity.masked_fill(~right, -torch.inf).amax(dim=1, keepdim=True)
        found[0, start:stop] = 1 + (_not_below(similarity, best) & ~right).sum(dim=1)
    return found


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
