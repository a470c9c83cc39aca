"""Which modalities are compared, which rows take part, and which of them belong together."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fusion.embeddings import Embeddings
from fusion.errors import Problem, RecipeError, unknown

Pair = tuple[str, str]


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


def similarity(embeddings: Embeddings, pair: Pair) -> Tensor:
    """Return the cosines between the first modality's rows and the second's, (b, b)."""
    first, second = (embeddings.visible(name) for name in pair)
    with torch.autocast(first.device.type, enabled=False):  # bf16 cosines would differ in the third digit
        return first @ second.T


def positives(embeddings: Embeddings, pair: Pair, same: Tensor | None) -> Tensor:
    """Return which rows belong together, (b, b) bool: nowhere a row that does not take part.

    They do when they are one row, hold the same known content of either modality, or have the same
    target `same`, (b,) long with -100 where it is missing.
    """
    rows = taking_part(embeddings, pair)
    return together(embeddings, pair, same) & rows & rows.unsqueeze(1)


def together(embeddings: Embeddings, modalities: Sequence[str], same: Tensor | None) -> Tensor:
    """Return the same of every row and these modalities, (b, b) bool, whether or not it takes part."""
    found = torch.eye(len(embeddings.source), dtype=torch.bool, device=embeddings.source.device)
    for modality in modalities:
        found = found | _equal(embeddings.content[modality], missing=0)
    return found if same is None else found | _equal(same, missing=-100)


def _equal(values: Tensor, missing: int) -> Tensor:
    return (values == values.unsqueeze(1)) & (values != missing)


def _error(messages: list[str]) -> RecipeError:
    return RecipeError([Problem("objectives", message) for message in messages])
