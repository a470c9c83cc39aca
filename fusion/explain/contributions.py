"""What each modality of a row adds to an answer: the game in which modalities are shown or hidden."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fusion.embeddings import Embeddings
from fusion.explain.shapley import Subset, shapley
from fusion.model import Model
from fusion.objective import Prediction


class Contributions(NamedTuple):
    """What the modalities of b rows add to the answer of a task, fp64.

    Told is the score of what is answered with all that is present: of a class its probability, (b,), of
    numbers and of flags every one, (b, ...). `nothing` is that score when no modality is shown, and the parts
    add up from it to `full`; that of an absent modality is exactly 0.
    """

    nothing: Tensor
    parts: dict[str, Tensor]
    full: Tensor


@torch.no_grad()
def play(
    model: Model, embeddings: Embeddings, subsets: Iterable[Subset]
) -> dict[Subset, dict[str, Prediction]]:
    """Return what every task answers, on the CPU, with each subset shown: the fuser runs once for each."""
    return {subset: answers(model, fused(model, embeddings, subset)) for subset in subsets}


def fused(model: Model, embeddings: Embeddings, subset: Subset) -> Tensor:
    """Return the fused vectors with a subset shown, (b, w)."""
    return model.fuse(
        embeddings, {name: given & (name in subset) for name, given in embeddings.present.items()}
    )


def answers(model: Model, fused: Tensor) -> dict[str, Prediction]:
    """Return what every task answers, on the CPU."""
    found = {name: task.predict(fused) for name, task in model.tasks.items()}
    return {name: Prediction(*(part.cpu() for part in answer)) for name, answer in found.items()}


def contributions(
    players: Sequence[str], told: Mapping[Subset, Prediction], present: Mapping[str, Tensor]
) -> Contributions:
    """Return the Shapley values of modalities by a task's answers with every subset of them shown."""
    value = told[tuple(players)].value
    worth = {subset: of_answer(answer.score, value).double() for subset, answer in told.items()}
    found = shapley(players, worth.__getitem__)
    parts = {
        name: part.masked_fill(~present[name].cpu().view(-1, *[1] * (part.ndim - 1)), 0.0)
        for name, part in found.items()
    }
    return Contributions(worth[()], parts, worth[tuple(players)])


def of_answer(score: Tensor, value: Tensor) -> Tensor:
    """Return what scores say of an answer: of class indices (b,) their scores (b,), else all, (b, ...)."""
    if value.is_floating_point() or score.ndim != value.ndim + 1:
        return score
    return score.gather(-1, value.unsqueeze(-1)).squeeze(-1)
