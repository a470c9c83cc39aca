"""Which modalities are compared, which rows take part, and which of them belong together."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fusion.batch import MISSING
from fusion.embeddings import Embeddings
from fusion.errors import Problem, RecipeError, unknown
from fusion.peek import near, surely

Pair = tuple[str, str]

OUTSIDE = -1e30  # added to the logits of rows that do not take part: with -inf softmax would be NaN


def choose_pairs(
    modalities: Sequence[str], pairs: Sequence[Pair] | None, hub: str | None
) -> tuple[Pair, ...]:
    """Return the given pairs, or the hub with every other modality, or all pairs when neither is given.

    Raises RecipeError with all that is wrong.
    """
    if pairs is not None and hub is not None:
        raise _error([f"both pairs and hub ({hub}) are given; give one, or neither for all pairs"])
    named = [hub] if hub is not None else [name for pair in pairs or () for name in pair]
    wrong = [unknown("modality", name, modalities) for name in dict.fromkeys(named) if name not in modalities]
    if hub is not None:
        chosen = [(hub, name) for name in modalities if name != hub]
    elif pairs is not None:
        chosen = [(a, b) for a, b in pairs]
    else:
        chosen = [(a, b) for i, a in enumerate(modalities) for b in modalities[i + 1 :]]
    wrong += [f"pair ({a}, {b}) compares a modality with itself; name two" for a, b in chosen if a == b]
    if len({frozenset(pair) for pair in chosen}) < len(chosen):
        wrong.append(f"a pair is given twice in {', '.join(f'({a}, {b})' for a, b in chosen)}")
    if not chosen:
        wrong.append(f"no pair to compare among {', '.join(modalities) or 'no modalities'}; two are needed")
    if wrong:
        raise _error(wrong)
    return tuple(chosen)


def taking_part(embeddings: Embeddings, pair: Pair) -> Tensor:
    """Return the rows in which both modalities are present, (b,) bool."""
    return embeddings.present[pair[0]] & embeddings.present[pair[1]]


def mean_of_pairs(losses: Sequence[Tensor], taking: Sequence[Tensor]) -> Tensor:
    """Return the mean of the losses of pairs in which any row, (b,) bool, takes part; others are 0 anyway."""
    if len(losses) == 1:
        return losses[0]
    used = functools.reduce(torch.add, (rows.any().int() for rows in taking))
    return functools.reduce(torch.add, losses) / used.clamp(min=1)


class Positives(NamedTuple):
    """Which `rows`, (b,) bool, take part, and which belong together, for any of their slices.

    One of their keys, (k, b), is equal in rows that belong together: nowhere in a row that does not take
    part, but with itself. Without keys every row is known to belong to itself alone. `everyone` tells
    whether it is known, and no device waited for, that all rows take part.
    """

    rows: Tensor
    everyone: bool
    keys: Tensor | None

    def number(self) -> Tensor | int:
        """Return how many rows take part, at least 1."""
        return max(1, len(self.rows)) if self.everyone else self.rows.sum().clamp(min=1)

    def weights(self, x: Tensor) -> Tensor:
        """Return one half over `number` where a row takes part and 0 elsewhere, (b,), of the kind of x."""
        if self.everyone:
            return x.new_full((len(self.rows),), 0.5 / max(1, len(self.rows)))
        return self.rows.to(x.dtype) / (2 * self.number())

    def __call__(self, i: slice, j: slice) -> Tensor:
        """Return (i, j) bool."""
        keys = own_keys(self.rows).unsqueeze(0) if self.keys is None else self.keys
        first: Tensor
        first, *others = (key[i].unsqueeze(1) == key[j] for key in keys)
        return functools.reduce(torch.logical_or, others, first)

    def among(self, i: slice, j: slice) -> Tensor | int:
        """Return how many of the rows j belong to each of the rows i, (i,) int32, or one number for all."""
        if self.none(i, j) or (self.keys is None and i == j):
            return int(i == j)
        return self(i, j).sum(dim=1, dtype=torch.int32)

    def shares(self, i: slice, j: slice, each: Tensor) -> Tensor | None:
        """Return each[i] + each[j] where rows belong together and 0 elsewhere, (i, j), for `each`, (b,).

        Where this is known to be 0 off the diagonal, return that, (i,), and None where it is 0 everywhere.
        """
        if self.none(i, j):
            return None
        if self.keys is None and i == j:
            return 2 * each[i]
        return self(i, j) * (each[i].unsqueeze(1) + each[j])

    def none(self, i: slice, j: slice) -> bool:
        """Tell whether it is known, and no device waited for, that no two of these rows belong together."""
        if self.keys is None:
            return bool(i.stop <= j.start or j.stop <= i.start)
        if i == j or not near(self.keys):
            return False
        return all(surely(torch.isin(key[i], key[j], invert=True)) for key in self.keys)


def of_both(embeddings: Embeddings, pair: Pair, positive: Positives) -> list[Tensor]:
    """Return the vectors of two modalities, with exact zeros where one is absent, (b, w) each."""
    if positive.everyone:
        return [embeddings.pooled[name] for name in pair]
    return [embeddings.visible(name) for name in pair]


def cut_out(x: Tensor, y: Tensor, positive: Positives) -> tuple[Tensor, Tensor, Positives]:
    """Return the same of only the rows that take part, where to know them takes no wait and there are any."""
    rows = positive.rows
    if positive.everyone or not near(rows) or not rows.any():
        return x, y, positive
    keys = None if positive.keys is None else positive.keys[:, rows]
    return x[rows], y[rows], Positives(rows[rows], True, keys)


def where_shared(shares: Tensor, x: Tensor) -> Tensor:
    """Return the part of x, (n, m), that `shares` of it are for."""
    return x.diagonal() if shares.dim() == 1 else x


def sum_of_shares(shares: Tensor, x: Tensor) -> Tensor:
    """Return the sum of `shares` times what they are for of x, (n, m), ()."""
    return shares.dot(x.diagonal()) if shares.dim() == 1 else (shares * x).sum()


def left_out(positive: Positives) -> Callable[[Tensor, slice, slice], Tensor]:
    """Return what puts OUTSIDE and less into logits, (i, j), of rows that do not take part."""
    if positive.everyone:
        return lambda logits, i, j: logits
    outside = torch.where(positive.rows, 0.0, OUTSIDE)
    return lambda logits, i, j: logits.add_(outside[j]).add_(outside[i].unsqueeze(1))


def positives(
    embeddings: Embeddings, modalities: Sequence[str], same: Tensor | None, rows: Tensor
) -> Positives:
    """Return which rows, (b,) bool, take part, and which of these belong together.

    They do when they are one row, hold the same known content of one of the modalities, or have the same
    target `same`, (b,) long with -100 where it is missing.
    """
    everyone = surely(rows)
    content = [embeddings.content[name] for name in modalities]
    known = content if same is None else [*content, same - MISSING]  # 0 is missing everywhere
    if not known or (near(rows) and all(_differ(numbers.tolist()) for numbers in known)):
        return Positives(rows, everyone, None)
    values = torch.stack(known)  # (k, b)
    ordered = values.sort().values
    # numbered from 0, and beyond b where rows have no other
    number = torch.searchsorted(ordered, values, out_int32=True)
    return Positives(rows, everyone, torch.where(rows & (values != 0), number, own_keys(rows)))


def own_keys(rows: Tensor) -> Tensor:
    """Return a number for each row that no other has and that is at least their number, (b,) int32."""
    return torch.arange(len(rows), 2 * len(rows), device=rows.device, dtype=torch.int32)


def _differ(numbers: list[int]) -> bool:
    """Tell whether none but 0 is there twice; a set knows in a fraction of the time that sorting takes."""
    different = set(numbers)
    return len(different) == len(numbers) or len(different - {0}) == len(numbers) - numbers.count(0)


def _error(messages: list[str]) -> RecipeError:
    return RecipeError([Problem("objectives", message) for message in messages])
