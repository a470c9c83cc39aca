import math

import pytest
import torch
import torch.nn.functional as F

from fusion.objectives.classify import Classify
from tests.objectives.toys import NAMES, random

PRESENT = [(True, False, True), (False, False, False), (True, True, True), (False, True, False)]


def with_logits_of(fused: torch.Tensor, **options: float) -> Classify:
    """A classifier whose head passes the fused vector on as its logits."""
    task = Classify(NAMES, 3, classes=3, **options)  # type: ignore[arg-type]
    task.head = torch.nn.Identity()
    assert fused.shape[1] == 3
    return task


def test_rows_without_the_label_do_not_count() -> None:
    fused = torch.tensor([[2.0, 0.0, 0.0], [9.0, 9.0, 0.0], [0.0, 0.0, 0.0], [5.0, 1.0, 1.0]])
    loss = with_logits_of(fused)(random(PRESENT), fused, {"label": torch.tensor([0, -100, 2, -100])})
    # -log(e^2 / (e^2 + 2)) and -log(1/3)
    expected = (math.log(1 + 2 * math.exp(-2)) + math.log(3)) / 2
    torch.testing.assert_close(loss, torch.tensor(expected))


def test_smoothing_mixes_the_label_with_all_classes() -> None:
    fused, label = torch.randn(4, 3), torch.tensor([0, -100, 2, 1])
    loss = with_logits_of(fused, smoothing=0.3)(random(PRESENT), fused, {"label": label})
    known = label != -100
    wanted = 0.7 * F.one_hot(label[known], 3) + 0.1
    expected = -(wanted * fused[known].log_softmax(-1)).sum(1).mean()
    torch.testing.assert_close(loss, expected)


def test_it_predicts_the_likeliest_class_and_all_probabilities() -> None:
    fused = torch.tensor([[0.0, math.log(2), 0.0], [math.log(6), 0.0, 0.0]])
    value, score = with_logits_of(fused).predict(fused)
    assert value.tolist() == [1, 0]
    torch.testing.assert_close(score, torch.tensor([[0.25, 0.5, 0.25], [0.75, 0.125, 0.125]]))


def test_accuracy_is_the_share_of_right_answers() -> None:
    metrics = Classify(NAMES, 4, classes=3).metrics()
    metrics.update(torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5]]), torch.tensor([0, 1]))
    metrics.update(torch.tensor([[0.1, 0.8, 0.1], [0.2, 0.3, 0.5]]), torch.tensor([1, 2]))
    assert metrics.compute()["accuracy"].item() == pytest.approx(0.75)


def test_the_target_is_the_one_that_is_named() -> None:
    ((name, target),) = Classify(NAMES, 4, classes=3, target="digit").targets.items()
    assert (name, target.dtype, target.shape) == ("digit", torch.long, ())


def test_it_learns_classes_that_can_be_told_apart() -> None:
    torch.manual_seed(0)
    task = Classify(NAMES, 4, classes=3)
    fused, targets = torch.eye(4)[:3], {"label": torch.tensor([2, 0, 1])}
    optimizer = torch.optim.Adam(task.parameters(), lr=0.1)
    for _ in range(50):
        optimizer.zero_grad()
        task(random(PRESENT[:3]), fused, targets).backward()
        optimizer.step()
    assert task.predict(fused).value.tolist() == [2, 0, 1]
