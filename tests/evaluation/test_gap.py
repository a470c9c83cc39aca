"""The modality gap by hand."""

import math

import pytest
import torch

from fusion.evaluation.gap import gap
from fusion.evaluation.retrieval import distinct


def test_the_gap_is_the_distance_of_the_means_of_distinct_samples() -> None:
    place = torch.stack([torch.zeros(3, dtype=torch.long), torch.arange(3)])
    labels = torch.full((3,), -100)
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    # the first and the last hold the same sample, which counts once: the mean is (1/2, 1/2)
    one = distinct(x, labels, torch.tensor([7, 8, 7]), place)
    other = distinct(-x, labels, torch.tensor([0, 0, 0]), place)  # (-2/3, -1/3)
    assert gap(one, other) == pytest.approx(math.hypot(1 / 2 + 2 / 3, 1 / 2 + 1 / 3))
    assert gap(one, one) == 0
