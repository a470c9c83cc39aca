"""A temperature is found where it is known in closed form, and changes no answer."""

import math

import pytest
import torch
from torch import Tensor

from fusion.evaluation.temperature import fit, scaled, temperatures_of, warmed


def test_two_classes_at_the_temperature_that_is_known() -> None:
    # all rows say class 0 with 0.9, three of four are right: the likeliest probability is 0.75
    score, target = torch.tensor([[0.9, 0.1]] * 4), torch.tensor([0, 0, 0, 1])
    temperature = fit(score, target)
    assert temperature == pytest.approx(math.log(0.9 / 0.1) / math.log(0.75 / 0.25), rel=1e-6)  # 2
    assert scaled(score, temperature)[:, 0].tolist() == pytest.approx([0.75] * 4)


@pytest.mark.parametrize("true", [0.4, 1.0, 2.5])
def test_labels_drawn_at_a_temperature_give_it_back(true: float) -> None:
    draw = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(20_000, 6, generator=draw)
    target = (logits / true).softmax(dim=1).multinomial(1, generator=draw)[:, 0]
    assert fit(logits.softmax(dim=1), target) == pytest.approx(true, rel=0.03)


def test_it_is_as_likely_as_a_search_makes_it() -> None:
    draw = torch.Generator().manual_seed(1)
    score = (2 * torch.randn(300, 4, generator=draw)).softmax(dim=1)
    target = torch.where(torch.rand(300, generator=draw) < 0.7, score.argmax(1), 0)

    def loss(temperature: float) -> float:
        return torch.nn.functional.nll_loss(scaled(score.double(), temperature).log(), target).item()

    best = fit(score, target)
    assert best is not None
    assert loss(best) <= min(loss(0.1 * 1.02**step) for step in range(250)) + 1e-9
    assert abs(loss(1.001 * best) - loss(best)) < 1e-5


def test_without_a_mistake_there_is_none() -> None:
    assert fit(torch.tensor([[0.9, 0.1], [0.4, 0.6]]), torch.tensor([0, 1])) is None
    assert fit(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)) is None


def test_answers_that_are_worse_than_chance_become_even() -> None:
    assert fit(torch.tensor([[0.9, 0.1]] * 3), torch.tensor([1, 1, 0])) == pytest.approx(100, rel=1e-3)


def test_a_row_is_scaled_by_just_what_it_has() -> None:
    present = {
        "image": torch.tensor([True, True, False, True]),
        "text": torch.tensor([True, False, True, True]),
        "audio": torch.tensor([False, False, False, True]),
    }
    score = torch.tensor([[0.9, 0.1]] * 4)
    given = {"image+text/kind": 2.0, "text/kind": 0.5, "image/other": 9.0}
    assert temperatures_of("kind", present, given).tolist() == [2.0, 1.0, 0.5, 1.0]
    found: Tensor = warmed(score, "kind", present, given)
    assert found[0].tolist() == pytest.approx([0.75, 0.25])
    assert found[2].tolist() == pytest.approx([81 / 82, 1 / 82])
    assert torch.equal(found[[1, 3]], score[[1, 3]])  # to the bit
