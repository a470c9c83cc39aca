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
    answers = {}
    for subset in subsets:
        shown = {name: present & (name in subset) for name, present in embeddings.present.items()}
        fused = model.fuse(embeddings, shown)
        answers[subset] = {name: task.predict(fused) for name, task in model.tasks.items()}
    return {
        subset: {name: Prediction(*(part.cpu() for part in answer)) for name, answer in tasks.items()}
        for subset, tasks in answers.items()
    }


def contributions(
    players: Sequence[str], answers: Mapping[Subset, Prediction], present: Mapping[str, Tensor]
) -> Contributions:
    """Return the Shapley values of modalities by a task's answers with every subset of them shown."""
    value = answers[tuple(players)].value
    told = {subset: of_answer(answer.score, value).double() for subset, answer in answers.items()}
    found = shapley(players, told.__getitem__)
    parts = {
        name: part.masked_fill(~present[name].cpu().view(-1, *[1] * (part.ndim - 1)), 0.0)
        for name, part in found.items()
    }
    return Contributions(told[()], parts, told[tuple(players)])


def of_answer(score: Tensor, value: Tensor) -> Tensor:
    """Return what scores say of an answer: of class indices (b,) their scores (b,), else all, (b, ...)."""
    if value.is_floating_point() or score.ndim != value.ndim + 1:
        return score
    return score.gather(-1, value.unsqueeze(-1)).squeeze(-1)
