"""Entropy and soft neighbourhood density by hand, and written out in loops."""

import math

import numpy as np
import pytest
import torch

from fusion.objectives import selection
from fusion.objectives.selection import entropy, neighbourhood_density


def test_the_entropy_of_sure_and_unsure_answers() -> None:
    assert entropy(torch.tensor([[1.0, 0.0], [0.5, 0.5]])) == pytest.approx(math.log(2) / 2)


def test_density_written_out_row_by_row() -> None:
    p = torch.randn(7, 4, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    x = p.double().numpy()
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    total = 0.0
    for i in range(7):
        others = [j for j in range(7) if j != i]
        weights = np.exp([x[i] @ x[j] / 0.05 for j in others])
        weights /= weights.sum()
        total -= (weights * np.log(weights)).sum()
    assert neighbourhood_density(p) == pytest.approx(total / 7, rel=1e-6)


def test_two_sure_halves_have_the_density_of_a_half() -> None:
    p = torch.eye(2).repeat(5, 1)  # 5 rows of each answer: 4 others are alike, 5 are at a right angle
    far = math.exp(-1 / 0.05)
    weights = np.array([1.0] * 4 + [far] * 5) / (4 + 5 * far)
    assert neighbourhood_density(p) == pytest.approx(-(weights * np.log(weights)).sum(), rel=1e-9)


def test_many_rows_are_compared_in_parts_and_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    p = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    whole = neighbourhood_density(p)
    monkeypatch.setattr(selection, "BUDGET", 120)
    assert neighbourhood_density(p) == pytest.approx(whole, rel=1e-12)
    monkeypatch.setattr(selection, "ROWS", 8)
    assert neighbourhood_density(p) == neighbourhood_density(p[[0, 7, 14, 21, 28, 35, 42, 49]])


def test_a_single_row_has_no_neighbour() -> None:
    assert neighbourhood_density(torch.tensor([[0.3, 0.7]])) == 0
