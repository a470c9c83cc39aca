"""What is to go wrong: how badly each row of a batch does, differentiable, row by row."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fusion.batch import Batch, missing
from fusion.embeddings import Embeddings
from fusion.errors import Problem, RecipeError
from fusion.model import Model
from fusion.objective import Task

Loss = Literal["loss", "dlr"]


class Goal(NamedTuple):
    """What an attack is after: that tasks answer wrongly, that pairs lie apart, or both.

    `loss` is what a task is attacked by: its own for each row, or the difference of logits ratio (`dlr`).
    """

    tasks: Mapping[str, float]  # by name, their weights
    pairs: Sequence[tuple[str, str]] = ()
    loss: Loss = "loss"


def harm(model: Model, batch: Batch, goal: Goal) -> Tensor:
    """Return how badly each row does, (b,); 0 where it has nothing that the goal speaks of.

    Tasks answer from what the batch shows of each row.
    """
    embeddings = model.embed(batch)
    total = torch.zeros(len(batch.row), device=batch.row.device)
    if goal.tasks:
        fused = model.fuse(embeddings, batch.shown)
        for name, weight in goal.tasks.items():
            total = total + weight * _of_task(model.tasks[name], embeddings, fused, batch.targets, goal.loss)
    for pair in goal.pairs:
        one, other = (embeddings.visible(name) for name in pair)
        total = total - (one * other).sum(dim=1)
    return total


def harmable(model: Model, batch: Batch, goal: Goal) -> Tensor:
    """Return which rows have something that the goal speaks of, (b,) bool."""
    rows = torch.zeros(len(batch.row), dtype=torch.bool, device=batch.row.device)
    for name in goal.tasks:
        target = batch.targets[model.tasks[name].target]
        rows = rows | ~missing(target).reshape(len(rows), -1).all(dim=1)
    for one, other in goal.pairs:
        rows = rows | (batch.present[one] & batch.present[other])
    return rows


def dlr(logits: Tensor, label: Tensor) -> Tensor:
    """Return the difference of logits ratio of each row, (b,), for logits (b, classes), at least three.

    -(z_y - max_{i != y} z_i) / (z_1 - z_3), with z_1 >= z_2 >= z_3 in order (Croce and Hein 2020, eq. 5): it
    is the same for logits that are shifted or scaled, so no large ones hide the gradient.
    """
    order = logits.sort(dim=1, descending=True).values
    own = logits.gather(1, label[:, None])
    other = logits.masked_fill(F.one_hot(label, logits.shape[1]).bool(), -torch.inf).amax(dim=1, keepdim=True)
    return ((other - own) / (order[:, :1] - order[:, 2:3] + 1e-12)).squeeze(1)


def _of_task(
    task: Task, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor], loss: Loss
) -> Tensor:
    if loss == "loss":
        return task.row_losses(embeddings, fused, targets)
    logits, label = task.logits(fused), targets[task.target]
    if logits is None or logits.shape[1] < 3:
        message = "dlr compares the logits of three classes or more; attack this task by its own loss (loss)"
        raise RecipeError([Problem("evaluate.attack.loss", message)])
    known = ~missing(label)
    return torch.where(known, dlr(logits, torch.where(known, label, 0)), 0.0)
