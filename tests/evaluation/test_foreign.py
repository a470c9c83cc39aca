"""Rows of another kind are told: in closed form, and as scikit-learn has it."""

import math

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from fusion.evaluation.foreign import auroc, distance
from fusion.objectives.classify import Classify


def test_by_hand_a_tie_is_half_a_win() -> None:
    assert auroc(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 3.0])) == (0.5 + 1 + 1 + 1) / 4
    assert auroc(torch.tensor([1.0, 2.0]), torch.tensor([0.0])) == 0


def test_it_is_the_area_that_others_find() -> None:
    draw = torch.Generator().manual_seed(0)
    one, other = (
        torch.randint(30, (n,), generator=draw).float() + shift for n, shift in ((400, 0), (300, 4))
    )
    known = roc_auc_score([0] * 400 + [1] * 300, torch.cat([one, other]))
    assert auroc(one, other) == pytest.approx(known)


def test_the_distance_is_that_to_the_tenth_neighbour() -> None:
    draw = torch.Generator().manual_seed(0)
    known, asked = (F.normalize(torch.randn(n, 8, generator=draw), dim=1) for n in (50, 20))
    expected = NearestNeighbors(n_neighbors=10).fit(known).kneighbors(asked)[0][:, 9]
    torch.testing.assert_close(distance(asked, known).double(), torch.from_numpy(expected), atol=1e-5, rtol=0)


def test_of_few_known_rows_it_is_that_to_the_farthest() -> None:
    known = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert distance(torch.tensor([[1.0, 0.0]]), known).item() == pytest.approx(math.sqrt(2))


def test_the_energy_of_a_classification_is_that_of_its_logits() -> None:
    task = Classify(["image", "text", "audio"], 4, classes=3)
    fused = torch.randn(5, 4)
    with torch.no_grad():
        logits = task.head(fused)
        expected = [-math.log(sum(math.exp(one) for one in row)) for row in logits.tolist()]
        assert task.energy(fused).tolist() == pytest.approx(expected, abs=1e-5)
        torch.testing.assert_close(task.predict(fused).score, (logits + task.energy(fused)[:, None]).exp())
