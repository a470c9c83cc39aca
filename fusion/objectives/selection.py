"""Judge classifications without labels, to choose between models where the target has none."""

import torch
from torch import Tensor

TEMPERATURE = 0.05
ROWS = 2_000  # at most so many are compared with each other, evenly spread
BUDGET = 2**24  # similarities held at once


def entropy(probability: Tensor) -> float:
    """Return the mean entropy, in nats, of probabilities (r, classes): lower is surer.

    As a criterion of adaptation: Morerio et al. 2018. A model that gives one answer to all has the best.
    """
    return float(torch.special.entr(probability.double()).sum(dim=1).mean())


def neighbourhood_density(probability: Tensor) -> float:
    """Return the soft neighbourhood density (Saito et al. 2021, eq. 3) of probabilities (r, classes).

    The mean entropy, in nats, of each row's similarity to the other rows, as a softmax at a temperature of
    0.05 over cosines: larger where rows that are alike get the same answer. 0 for less than two rows.
    """
    spread = torch.linspace(0, len(probability) - 1, min(ROWS, len(probability))).round().long()
    x = torch.nn.functional.normalize(probability[spread].double(), dim=1)
    if len(x) < 2:
        return 0.0
    total = x.new_zeros(())
    size = max(1, BUDGET // len(x))
    for start in range(0, len(x), size):
        similarity = x[start : start + size] @ x.T / TEMPERATURE  # (c, r)
        similarity.diagonal(offset=start).fill_(-torch.inf)
        total += torch.special.entr(similarity.softmax(dim=1)).sum()
    return float(total / len(x))
