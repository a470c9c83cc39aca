"""How far probabilities can be trusted: by hand, in closed form and beside other implementations."""

import math

import pytest
import torch
from sklearn.metrics import brier_score_loss, log_loss
from torchmetrics.classification import MulticlassCalibrationError

from fusion.evaluation import spread
from fusion.evaluation.calibration import Calibration


def counted(score: torch.Tensor, target: torch.Tensor, size: int = 10_000) -> Calibration:
    made = Calibration()
    for start in range(0, len(score), size):
        made.add(score[start : start + size], target[start : start + size])
    return made


def two(sure: list[float], right: list[int]) -> Calibration:
    """Two classes; class 0 is said with these probabilities, all above one half."""
    score = torch.tensor(sure, dtype=torch.float64)
    return counted(torch.stack([score, 1 - score], dim=1), 1 - torch.tensor(right))


def random(rows: int, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    score = (2 * torch.randn(rows, classes, generator=draw, dtype=torch.float64)).softmax(dim=1)
    return score, torch.randint(classes, (rows,), generator=draw)


def test_four_rows_by_hand() -> None:
    # bins of 1/15: 0.61 and 0.65 lie in (9/15, 10/15], 0.9 in (13/15, 14/15], 0.95 in the last
    found = two([0.61, 0.65, 0.9, 0.95], [1, 0, 1, 0]).metrics()
    # the first bin is sure of 1.26 rows and has one right, the others of 0.9 and 0.95 and have one and none
    assert found["ece"] == pytest.approx((0.26 + 0.1 + 0.95) / 4)
    assert found["brier"] == pytest.approx(2 * (0.39**2 + 0.65**2 + 0.1**2 + 0.95**2) / 4)
    assert found["nll"] == pytest.approx(-sum(map(math.log, (0.61, 0.35, 0.9, 0.05))) / 4)
    # the surest first: wrong, right, wrong, right
    assert found["aurc"] == pytest.approx((1 + 1 / 2 + 2 / 3 + 2 / 4) / 4)
    assert found["ece_adaptive"] == pytest.approx((0.39 + 0.65 + 0.1 + 0.95) / 4)  # each a bin of its own


def test_probabilities_that_are_true_have_no_error() -> None:
    found = two([0.75] * 4, [1, 1, 1, 0]).metrics()
    assert found["ece"] == pytest.approx(0)
    assert found["aurc"] == pytest.approx(0.25)  # all are equally sure: their order tells nothing


def test_the_order_of_equally_sure_rows_changes_nothing() -> None:
    one, other = two([0.9, 0.9, 0.6], [1, 0, 1]), two([0.9, 0.6, 0.9], [0, 1, 1])
    assert one.metrics()["aurc"] == other.metrics()["aurc"] == pytest.approx((0.5 + 0.5 + 1 / 3) / 3)


def test_it_is_what_others_say() -> None:
    score, target = random(3_000)
    found = counted(score, target).metrics()
    error = MulticlassCalibrationError(5, n_bins=15)(score, target)
    assert found["ece"] == pytest.approx(error.item(), abs=1e-6)
    assert found["nll"] == pytest.approx(log_loss(target, score), abs=1e-6)
    brier = sum(brier_score_loss(target == number, score[:, number]) for number in range(5))
    assert found["brier"] == pytest.approx(brier, abs=1e-6)


def test_with_as_many_rows_in_each_bin_it_is_the_mean_of_their_errors() -> None:
    score, target = random(3_000)
    sure, said = score.double().max(dim=1)
    order = sure.argsort(descending=True, stable=True)
    apart = (sure - (said == target).double())[order].reshape(15, 200).mean(dim=1).abs().mean()
    assert counted(score, target).metrics()["ece_adaptive"] == pytest.approx(apart.item())


@pytest.mark.parametrize("size", [1, 7, 5_000])
def test_parts_give_what_all_at_once_gives(size: int) -> None:
    score, target = random(200)
    whole, parts = counted(score, target).metrics(), counted(score, target, size).metrics()
    assert parts == {name: pytest.approx(value, rel=1e-12) for name, value in whole.items()}


def test_an_impossible_class_that_is_true_costs_a_finite_amount() -> None:
    assert two([1.0], [0]).metrics()["nll"] == pytest.approx(-math.log(torch.finfo(torch.float32).tiny))


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread, "NUMBERS", 0)
    made = counted(*random(10_000), 100)
    assert len(made.order.rows) <= 2_000  # of two numbers
    exact = counted(*random(10_000)).metrics()
    found = made.metrics()
    assert found["ece"] == pytest.approx(exact["ece"])  # counted over all
    assert found["aurc"] == pytest.approx(exact["aurc"], abs=0.02)


def test_the_curves_of_the_report_by_hand() -> None:
    found = two([0.61, 0.65, 0.9, 0.95], [1, 0, 1, 0]).details()
    assert found["bins"] == [
        pytest.approx([2, 0.63, 0.5]),
        pytest.approx([1, 0.9, 1]),
        pytest.approx([1, 0.95, 0]),
    ]
    assert found["risk"] == [
        pytest.approx([0.25, 1]),
        pytest.approx([0.5, 0.5]),
        pytest.approx([0.75, 2 / 3]),
        pytest.approx([1, 0.5]),
    ]
