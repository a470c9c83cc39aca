"""One temperature by which a task's probabilities are made neither too sure nor too unsure."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

SHARPEST, SOFTEST = 0.01, 100.0
HALVINGS = 60


def warmed(
    score: Tensor, task: str, present: Mapping[str, Tensor], temperatures: Mapping[str, float]
) -> Tensor:
    """Return a task's probabilities, (r, classes), each row's at the temperature of just what it has.

    `present` is (r,) bool by modality, `temperatures` are by "subset/task"; where there is none it is 1.
    """
    for exact, temperature in _rows_at(task, present, temperatures):
        score = torch.where(exact.unsqueeze(1), scaled(score, temperature), score)
    return score


def temperatures_of(task: str, present: Mapping[str, Tensor], temperatures: Mapping[str, float]) -> Tensor:
    """Return the temperature of each row's probabilities in `warmed`, (r,)."""
    found = torch.ones(len(next(iter(present.values()))), dtype=torch.float64)
    for exact, temperature in _rows_at(task, present, temperatures):
        found[exact] = temperature
    return found


def _rows_at(
    task: str, present: Mapping[str, Tensor], temperatures: Mapping[str, float]
) -> Iterator[tuple[Tensor, float]]:
    """Yield for each temperature of a task the rows that have just the modalities it was fitted for."""
    for answered, temperature in temperatures.items():
        subset, _, name = answered.partition("/")
        if name == task:
            given = subset.split("+")
            yield torch.stack([there == (one in given) for one, there in present.items()]).all(0), temperature


def scaled(score: Tensor, temperature: float) -> Tensor:
    """Return probabilities, (r, classes), at a temperature: softmax of their logarithms over it.

    As logarithms of a softmax are its logits less a constant, this is temperature scaling (Guo et al. 2017,
    eq. 9) without the logits. No answer changes, as the order of the classes stays.
    """
    return (_log(score) / temperature).softmax(dim=-1).to(score.dtype)


def fit(score: Tensor, target: Tensor) -> float | None:
    """Return the temperature at which these rows are likeliest; None where there is none.

    Where every row is right the likelihood grows for ever as the temperature falls. The likelihood is
    concave in 1 / temperature: its one maximum is found by bisection, between 0.01 and 100.
    """
    logits, rows = _log(score.double()), torch.arange(len(target))
    if not len(target) or bool((logits.argmax(dim=1) == target).all()):
        return None
    low, high = 1 / SOFTEST, 1 / SHARPEST
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        expected = ((middle * logits).softmax(dim=1) * logits).sum(dim=1)
        if bool((logits[rows, target] - expected).sum() > 0):
            low = middle
        else:
            high = middle
    return float((low * high) ** -0.5)


def _log(score: Tensor) -> Tensor:
    return score.clamp(min=torch.finfo(torch.float32).tiny).log()
