"""H-score against its definition with explicit covariances."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from fusion import Labelled
from fusion.estimators.hscore import HScore

Make = Callable[..., Labelled]


def cov_of_means(rows: Labelled) -> np.ndarray:
    means = {label: rows.vectors[rows.labels == label].mean(axis=0) for label in set(rows.labels.tolist())}
    return np.cov(np.stack([means[label] for label in rows.labels.tolist()]), rowvar=False, bias=True)


@pytest.mark.parametrize(("n", "d"), [(40, 6), (200, 3), (12, 30)])
def test_without_shrinkage_it_is_the_trace_of_bao(n: int, d: int, rows: Make) -> None:
    given = rows(n, d)
    inverse = np.linalg.pinv(np.cov(given.vectors, rowvar=False, bias=True), rcond=1e-10)
    assert HScore(shrinkage=0.0)(given) == pytest.approx(np.trace(inverse @ cov_of_means(given)))


@pytest.mark.parametrize(("n", "d"), [(40, 6), (200, 3), (12, 30)])
def test_by_default_the_covariance_is_that_of_ledoit_and_wolf(n: int, d: int, rows: Make) -> None:
    given = rows(n, d, signal=3.0)
    covariance, share = ledoit_wolf(given.vectors)
    assert 0.01 < share < 0.95
    expected = (1 - share) * np.trace(np.linalg.inv(covariance) @ cov_of_means(given))
    assert HScore()(given) == pytest.approx(expected)
    assert HScore(shrinkage=share)(given) == pytest.approx(expected)


def test_labels_as_vectors_reach_the_number_of_classes_less_one() -> None:
    labels = np.array([0, 1, 1, 2, 2, 2, 3])
    assert HScore(shrinkage=0.0)(Labelled(np.eye(4)[labels], labels, None)) == pytest.approx(3)


def test_two_numbers_by_hand() -> None:
    # means -1 and 1, of variance 1; each class has the variance 1 around its mean: 1 / (1 + 1)
    vectors, labels = np.array([[-2.0], [0.0], [0.0], [2.0]]), np.array([0, 0, 1, 1])
    assert HScore(shrinkage=0.0)(Labelled(vectors, labels, None)) == pytest.approx(0.5)


def test_few_rows_of_long_vectors_reach_the_most_unless_shrunk(rows: Make) -> None:
    noise, signal = rows(12, 30, signal=0.0), rows(12, 30, signal=20.0)
    assert HScore(shrinkage=0.0)(noise) == pytest.approx(2)
    assert HScore()(noise) < 1 < HScore()(signal)


def test_it_grows_with_the_signal(rows: Make) -> None:
    found = [HScore()(rows(200, 8, signal)) for signal in (0, 2, 4, 8)]
    assert found == sorted(found)
    assert found[-1] > found[0] + 0.5


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_vectors_that_are_all_equal_get_nothing(value: float) -> None:
    assert HScore(shrinkage=0.0)(Labelled(np.full((30, 4), value), np.arange(30) % 3, None)) == 0
