import math

import pytest
import torch
from torch import nn

from fusion.objectives.regress import Regress
from tests.objectives.toys import NAMES, random

NAN = math.nan
PRESENT = [(True, False, True), (False, False, False), (True, True, True)]


@pytest.mark.parametrize(
    ("loss", "expected"), [("mse", (1 + 9) / 2), ("l1", (1 + 3) / 2), ("huber", (0.5 + 2.5) / 2)]
)
def test_rows_without_a_number_do_not_count(loss: str, expected: float) -> None:
    task = Regress(NAMES, 1, target="age", loss=loss)  # type: ignore[arg-type]
    task.head = nn.Identity()
    given = task(
        random(PRESENT), torch.tensor([[2.0], [5.0], [-1.0]]), {"age": torch.tensor([1.0, NAN, 2.0])}
    )
    torch.testing.assert_close(given, torch.tensor(expected))


def test_a_missing_number_does_not_take_its_row_along() -> None:
    task = Regress(NAMES, 2, target="place", outputs=2)
    task.head = nn.Identity()
    fused = torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]], requires_grad=True)
    place = torch.tensor([[0.0, NAN], [NAN, NAN], [3.0, 1.0]])
    loss = task(random(PRESENT), fused, {"place": place})
    torch.testing.assert_close(loss, torch.tensor((1.0 + 0 + 4) / 3))
    loss.backward()
    torch.testing.assert_close(fused.grad, torch.tensor([[2.0, 0], [0, 0], [0, 4.0]]) / 3)


def test_predictions_have_the_shape_of_the_target() -> None:
    one, two = Regress(NAMES, 4, target="age"), Regress(NAMES, 4, target="place", outputs=2)
    assert one.targets["age"].shape == ()
    assert two.targets["place"].shape == (2,)
    assert [part.shape for part in one.predict(torch.randn(3, 4))] == [(3,), (3,)]
    assert [part.shape for part in two.predict(torch.randn(3, 4))] == [(3, 2), (3, 2)]


def test_metrics_by_hand() -> None:
    metrics = Regress(NAMES, 4, target="age").metrics()
    metrics.update(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0]))
    metrics.update(torch.tensor([9.0, 4.0]), torch.tensor([NAN, 5.0]))
    results = metrics.compute()
    # errors 0, 1, 1; targets 1, 3, 5 have squares about their mean of 8
    assert results["mae"].item() == pytest.approx(2 / 3)
    assert results["r2"].item() == pytest.approx(1 - 2 / 8)


def test_r2_is_averaged_over_the_outputs_that_vary() -> None:
    metrics = Regress(NAMES, 4, target="place", outputs=3).metrics()
    target = torch.tensor([[1.0, 7.0, NAN], [3.0, 7.0, 2.0], [5.0, 7.0, NAN]])
    score = torch.tensor([[1.0, 0.0, 0.0], [3.0, 0.0, 0.0], [5.0, 0.0, 0.0]])
    metrics.update(score, target)
    results = metrics.compute()
    assert results["r2"].item() == pytest.approx(1.0)
    assert results["mae"].item() == pytest.approx((3 * 7 + 2) / 7)


def test_r2_of_a_single_row_is_unknown_and_no_error() -> None:
    metrics = Regress(NAMES, 4, target="age").metrics()
    metrics.update(torch.tensor([1.0]), torch.tensor([2.0]))
    results = metrics.compute()
    assert results["r2"].isnan()
    assert results["mae"] == 1


def test_metrics_start_afresh_after_a_reset() -> None:
    metrics = Regress(NAMES, 4, target="age").metrics()
    metrics.update(torch.tensor([1.0, 2.0]), torch.tensor([7.0, 8.0]))
    metrics.compute()
    metrics.reset()
    metrics.update(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0]))
    assert metrics.compute()["mae"] == 0
