"""The best of many by their score, and of equal ones the first, however many are asked for.

Equal vectors have unequal scores by a product of matrices: how it sums up depends on where in it they are.
So what is close to the best is compared once more, pair by pair.
"""

from collections.abc import Callable

import torch
from torch import Tensor

CLOSE = 1e-5
"""By how much two ways to sum up a product of unit vectors differ less."""
BUDGET = 1 << 24
"""Numbers that are held at once."""


def best(scores: Tensor, of: Tensor, items: Tensor, queries: int, k: int) -> tuple[Tensor, Tensor]:
    """Return the k best scores of each query and their items, (q, k) each, of what is said of m pairs.

    `scores`, `of` and `items`, (m,) each, are the score of an item for a query, in any order. Where a query
    has fewer than k, the others are -1, by a score of minus infinity.
    """
    order = items.argsort()
    order = order[scores[order].argsort(descending=True, stable=True)]
    order = order[of[order].argsort(stable=True)]
    bounds = torch.searchsorted(of[order], torch.arange(queries + 1, device=of.device))
    places = bounds[:-1, None] + torch.arange(k, device=of.device)
    there = places < bounds[1:, None]
    chosen = order[places.clamp(max=len(order) - 1)]
    return scores[chosen].double().masked_fill(~there, -torch.inf), items[chosen].masked_fill(~there, -1)


def ranked(scores: Tensor, items: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k best of scores and their items, (q, m) each, of which m is k at least."""
    top = scores.topk(min(k + 1, scores.shape[1]))
    if bool((top.values.diff(dim=1) < 0).all()):
        return top.values[:, :k], items.gather(1, top.indices[:, :k])
    of = torch.arange(len(items), device=items.device).repeat_interleave(items.shape[1])
    return best(scores.flatten(), of, items.flatten(), len(items), k)


def products(
    queries: Tensor, of: Tensor, items: Tensor, vectors: Callable[[Tensor], Tensor], limit: float = torch.inf
) -> Tensor:
    """Return the inner product of each pair of a query and an item, (m,), no larger than a limit.

    `vectors` returns those of some items, (n, w): equal ones have equal products, wherever they are. An item
    of -1 has minus infinity.
    """
    parts = [torch.empty(0)]
    each = max(1, BUDGET // queries.shape[1])
    for start in range(0, len(of), each):
        some, asked = items[start : start + each], of[start : start + each]
        product = (vectors(some.clamp(min=0)) * queries[asked]).sum(1).clamp(-limit, limit)
        parts.append(product.masked_fill(some < 0, -torch.inf))
    return torch.cat(parts)
