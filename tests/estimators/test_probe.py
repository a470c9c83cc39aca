"""The linear probe by hand, and against gradient descent on the same loss."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fusion import Labelled
from fusion.estimators.probe import Probe

Make = Callable[..., Labelled]


def by_descent(x: torch.Tensor, y: torch.Tensor, penalty: float) -> torch.nn.Linear:
    """Fit a softmax regression by LBFGS of torch."""
    layer = torch.nn.Linear(x.shape[1], int(y.max()) + 1).double()
    descent = torch.optim.LBFGS(layer.parameters(), max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        descent.zero_grad()
        total = F.cross_entropy(layer(x), y, reduction="sum") + penalty / 2 * layer.weight.square().sum()
        total.backward()
        return total

    descent.step(loss)
    return layer


def probe_by_descent(rows: Labelled, folds: int, penalty: float) -> float:
    fold = torch.zeros(len(rows.labels))
    for place, row in enumerate(sorted(range(len(fold)), key=lambda row: (rows.labels[row], row))):
        fold[row] = place % folds
    x, y, right = torch.tensor(rows.vectors), torch.tensor(rows.labels), 0
    for out in range(folds):
        fitted, left = fold != out, fold == out
        scaled = (x - x[fitted].mean(0)) / x[fitted].std(0, unbiased=False)
        layer = by_descent(scaled[fitted], y[fitted], penalty)
        right += int((layer(scaled[left]).argmax(1) == y[left]).sum())
    return right / len(fold)


@pytest.mark.parametrize(("folds", "penalty"), [(5, 1.0), (3, 30.0)])
def test_it_is_the_accuracy_of_softmax_regression(folds: int, penalty: float, rows: Make) -> None:
    given = rows(60, 6, signal=2.0)
    found = Probe(folds=folds, penalty=penalty)(given)
    assert 0.4 < found < 1
    assert found == pytest.approx(probe_by_descent(given, folds, penalty))


def test_labels_as_vectors_are_always_told() -> None:
    labels = np.arange(30) % 3
    assert Probe()(Labelled(np.eye(3)[labels], labels, None)) == 1


def test_vectors_that_say_nothing_get_the_share_of_the_largest_class() -> None:
    labels = np.array([0] * 20 + [1] * 10)
    assert Probe()(Labelled(np.ones((30, 2)), labels, None)) == pytest.approx(2 / 3)


def test_a_single_row_of_a_class_can_only_be_wrong() -> None:
    vectors, labels = np.array([[0.0], [0.1], [0.2], [9.0]]), np.array([0, 0, 0, 1])
    assert Probe(folds=4)(Labelled(vectors, labels, None)) == 0.75


def test_two_rows_leave_nothing_to_fit() -> None:
    assert Probe()(Labelled(np.array([[0.0], [1.0]]), np.array([0, 1]), None)) == 0


def test_it_grows_with_the_signal(rows: Make) -> None:
    found = [Probe()(rows(200, 8, signal)) for signal in (0, 2, 4, 8)]
    assert found == sorted(found)
    assert found[-1] > found[0] + 0.2
