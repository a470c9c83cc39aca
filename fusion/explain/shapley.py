"""Shapley values: what each player adds, averaged over all orders in which players could come."""

from collections.abc import Callable, Sequence
from itertools import combinations
from math import comb

import torch
from torch import Tensor

Subset = tuple[str, ...]

MOST = 10
"""Players up to which all 2^m subsets are asked for."""


def subsets(players: Sequence[str]) -> list[Subset]:
    """Return all 2^m subsets of the players, each in their order; the empty one first, all of them last."""
    return [subset for size in range(len(players) + 1) for subset in combinations(players, size)]


def shapley(players: Sequence[str], value: Callable[[Subset], Tensor]) -> dict[str, Tensor]:
    """Return the Shapley value of each player (Shapley 1953), fp64, of the shape of one value.

    `value` tells what a subset is worth; it is asked once for each of `subsets(players)`. The values of all
    players add up to value(all) - value(()); a player that never changes anything gets exactly 0. Raises
    ValueError above MOST players.
    """
    count = len(players)
    if count > MOST:
        raise ValueError(f"{count} players have {2**count:,} subsets; exact for up to {MOST} players")
    worth = {subset: value(subset).double() for subset in subsets(players)}
    found = {player: torch.zeros_like(worth[()]) for player in players}
    for subset, after in worth.items():
        for player in subset:
            before = tuple(other for other in subset if other != player)
            # of all orders, the share in which exactly these come before the player
            found[player] += (after - worth[before]) / (count * comb(count - 1, len(before)))
    return found
