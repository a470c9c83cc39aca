"""Scores that are counted as they come give what they give all at once."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from fusion import Model, Recipe
from fusion.evaluation import spread as spreading
from fusion.evaluation import tally as module
from fusion.evaluation.spread import Spread
from fusion.evaluation.sweep import Rows
from fusion.evaluation.tally import Tally
from fusion.objectives.selection import entropy

MakeRecipe, MakeModel = Callable[..., Recipe], Callable[[Recipe], Model]

SCORES = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
LABELS = torch.tensor([0, 2, 2, -100, 2])
SIGHT = torch.tensor([True, True, True, True, False])


def rows(start: int, stop: int) -> Rows:
    """Five rows: right, wrong, right, without a label, without sight."""
    some = slice(start, stop)
    present = {"sight": SIGHT[some], "sound": SIGHT[some], "text": ~SIGHT[some]}
    place = {"source": torch.zeros(stop - start, dtype=torch.long), "row": torch.arange(start, stop)}
    return Rows({}, present, {}, {"label": LABELS[some]}, {"sight/colour": SCORES[some]}, place)


@pytest.mark.parametrize("together", [1, 2, 100])
def test_rows_that_come_one_by_one_are_counted_as_all_at_once(
    toy_recipe: MakeRecipe, toy_model: MakeModel, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(module, "ROWS", together)
    found = Tally(toy_model(toy_recipe()), "label", 3)
    for number in range(5):
        found.add(rows(number, number + 1))
    metrics: dict[str, Any] = found.metrics()
    assert metrics["subsets/sight/accuracy"] == pytest.approx(2 / 3)
    assert metrics["subsets/sight/rows"] == 3
    assert metrics["subsets/sight/entropy"] == pytest.approx(entropy(SCORES[:4]))  # needs no label
    assert found.confusion["sight/colour"].tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 1]]
    assert found.labelled


def test_scores_are_not_kept(toy_recipe: MakeRecipe, toy_model: MakeModel) -> None:
    found = Tally(toy_model(toy_recipe()), "label", 3)
    for _ in range(2 * module.ROWS // 5):
        found.add(rows(0, 5))
    assert sum(len(some.place["row"]) for some in found._waiting) < module.ROWS


def test_without_any_target_nothing_is_labelled(toy_recipe: MakeRecipe, toy_model: MakeModel) -> None:
    found = Tally(toy_model(toy_recipe()), "label", 3)
    found.add(rows(3, 4))
    assert not found.labelled
    assert set(found.metrics()) == {"subsets/sight/entropy", "subsets/sight/snd"}


@pytest.mark.parametrize("size", [1, 3, 7, 5000])
def test_a_spread_keeps_every_second_row_and_then_every_fourth(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(spreading, "NUMBERS", 4_000)
    spread, score = Spread(), torch.arange(5_000.0)[:, None].repeat(1, 2)
    for start in range(0, 5_000, size):
        spread.add(score[start : start + size])
    # room for 2,000 rows of two scores: 5,000, 2,500, 1,250
    assert spread.rows[:, 0].tolist() == list(range(0, 5_000, 4))
