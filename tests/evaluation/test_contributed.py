"""Contributions that come batch by batch are averaged by modality and by what is answered."""

import pytest
import torch
from torch import Tensor

from fusion.evaluation.contributed import Contributed
from fusion.evaluation.sweep import Rows

PARTS = torch.tensor([0.5, -0.25, 0.125, 0.0], dtype=torch.float64)
ANSWERS = torch.tensor([2, 0, 0, 1])
SIGHT = torch.tensor([True, True, True, False])


def rows(some: slice, part: Tensor = PARTS, score: Tensor | None = None) -> Rows:
    scores = {"sight+sound/colour": torch.zeros(4, 3)[some] if score is None else score[some]}
    present = {"sight": SIGHT[some], "sound": torch.zeros(4, dtype=torch.bool)[some]}
    added = {"sight/colour": part[some], "sound/colour": torch.zeros_like(part)[some]}
    return Rows({}, present, {}, {}, scores, {}, answers={"colour": ANSWERS[some]}, contributions=added)


@pytest.mark.parametrize("size", [1, 3, 4])
def test_they_are_means_over_the_rows_that_have_the_modality(size: int) -> None:
    found = Contributed(["sight", "sound"])
    for start in range(0, 4, size):
        found.add(rows(slice(start, start + size)))
    assert found.metrics() == {
        "contribution/sight/absolute": 0.875 / 3,
        "contribution/sight/signed": 0.125,
        "contribution/sight/rows": 3,
    }
    assert found.by_answer() == {
        "colour": {
            "classes": True,
            "mean": {"sight": [0.1875, None, 0.5], "sound": [None, None, None]},
            "rows": {"sight": [2, 0, 1], "sound": [0, 0, 0]},
        }
    }


def test_numbers_are_averaged_one_by_one_and_then_together() -> None:
    part = torch.tensor([[1.0, -3.0], [0.0, 1.0], [2.0, 2.0], [0.0, 0.0]], dtype=torch.float64)
    found = Contributed(["sight", "sound"])
    found.add(rows(slice(None), part, torch.zeros(4, 2)))
    assert found.by_answer()["colour"]["mean"]["sight"] == [1.0, 2.0]
    assert found.by_answer()["colour"]["classes"] is False
    assert found.metrics()["contribution/sight/absolute"] == 1.5
    assert found.metrics()["contribution/sight/signed"] == 0.5
    assert found.metrics()["contribution/sight/rows"] == 3


def test_one_number_a_row_is_told_as_one() -> None:
    found = Contributed(["sight", "sound"])
    found.add(rows(slice(None), PARTS, torch.zeros(4)))
    assert found.by_answer()["colour"]["mean"] == {"sight": [0.875 / 3], "sound": [None]}


def test_several_tasks_are_told_apart() -> None:
    given = rows(slice(None))
    scores = {**given.scores, "sight+sound/size": torch.zeros(4)}
    found = Contributed(["sight", "sound"])
    found.add(given._replace(scores=scores, contributions={**given.contributions, "sight/size": PARTS}))
    assert {key.rpartition("/")[0] for key in found.metrics()} == {
        "contribution/sight/colour",
        "contribution/sight/size",
    }
