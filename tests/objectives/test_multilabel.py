import math

import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import nn

from fusion.objectives.multilabel import Multilabel
from tests.objectives.toys import NAMES, random

NAN = math.nan


def test_labels_that_are_not_known_do_not_count() -> None:
    task = Multilabel(NAMES, 2, classes=2)
    task.head = nn.Identity()
    fused = torch.tensor([[0.0, 5.0], [math.log(3), 5.0], [-math.log(3), 0.0]], requires_grad=True)
    labels = torch.tensor([[1.0, NAN], [0.0, NAN], [NAN, 0.0]])
    loss = task(random([(True, True, False)] * 3), fused, {"labels": labels})
    # probabilities 1/2, 3/4 and 1/2 against 1, 0 and 0
    torch.testing.assert_close(loss, torch.tensor((math.log(2) + math.log(4) + math.log(2)) / 3))
    loss.backward()
    torch.testing.assert_close(fused.grad, torch.tensor([[-0.5, 0.0], [0.75, 0.0], [0.0, 0.5]]) / 3)


def test_it_predicts_flags_and_probabilities() -> None:
    task = Multilabel(NAMES, 2, classes=2)
    task.head = nn.Identity()
    value, score = task.predict(torch.tensor([[math.log(3), -math.log(3)], [0.0, 1.0]]))
    assert value.tolist() == [[1, 0], [0, 1]]
    torch.testing.assert_close(score[0], torch.tensor([0.75, 0.25]))


def test_mean_average_precision_equals_sklearn_over_known_labels() -> None:
    random = torch.Generator().manual_seed(0)
    score = torch.rand(24, 3, generator=random)
    target = (torch.rand(24, 3, generator=random) < 0.5).float()
    target[torch.rand(24, 3, generator=random) < 0.25] = NAN
    metrics = Multilabel(NAMES, 4, classes=3).metrics()
    metrics.update(score[:5], target[:5])
    metrics.update(score[5:], target[5:])
    known = ~target.isnan()
    expected = [average_precision_score(target[known[:, c], c], score[known[:, c], c]) for c in range(3)]
    assert metrics.compute()["map"].item() == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_classes_without_a_positive_are_left_out_of_the_mean() -> None:
    metrics = Multilabel(NAMES, 4, classes=3).metrics()
    metrics.update(torch.tensor([[0.9, 0.8, 0.1], [0.1, 0.3, 0.2]]), torch.tensor([[1, 0, NAN], [0, 0, NAN]]))
    assert metrics.compute()["map"] == 1


def test_it_is_unknown_when_no_class_has_a_positive() -> None:
    metrics = Multilabel(NAMES, 4, classes=2).metrics()
    metrics.update(torch.tensor([[0.9, 0.8]]), torch.tensor([[0.0, NAN]]))
    assert metrics.compute()["map"].isnan()
