"""LogME against the evidence by dense linear algebra, maximised by another method."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import minimize

from fusion import Labelled
from fusion.estimator import Floats
from fusion.estimators.logme import LogME

Make = Callable[..., Labelled]


def logme_by_search(rows: Labelled) -> float:
    """Maximise the density of each target, which is normal with covariance I / beta + F F' / alpha."""
    n, found = len(rows.labels), []
    for label in range(rows.labels.max() + 1):
        target = (rows.labels == label).astype(float)

        def loss(logs: Floats, target: Floats = target) -> float:
            alpha, beta = np.exp(np.clip(logs, -25, 25))
            covariance = np.eye(n) / beta + rows.vectors @ rows.vectors.T / alpha
            return 0.5 * (n * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1]) + 0.5 * float(
                target @ np.linalg.solve(covariance, target)
            )

        starts = [(alpha, beta) for alpha in (-3, 0, 3, 7) for beta in (0, 2, 5)]
        options = {"xatol": 1e-6, "fatol": 1e-9, "maxiter": 2000}
        fits = (minimize(loss, start, method="Nelder-Mead", options=options) for start in starts)
        found.append(min(fit.fun for fit in fits))
    return -float(np.mean(found)) / n


@pytest.mark.parametrize(("n", "d"), [(40, 6), (40, 1), (20, 20), (12, 30)])
@pytest.mark.parametrize("signal", [1.0, 5.0])
def test_it_is_the_largest_evidence(n: int, d: int, signal: float, rows: Make) -> None:
    given = rows(n, max(d, 3), signal)
    given = given._replace(vectors=given.vectors[:, :d])
    assert LogME()(given) == pytest.approx(logme_by_search(given), abs=1e-5)


def test_vectors_of_zeros_leave_the_density_of_noise() -> None:
    labels = np.array([0, 0, 1])  # mean squares 2/3 and 1/3; of n rows, -(log(2 pi s) + 1) / 2 each
    expected = -np.mean([np.log(2 * np.pi * share) + 1 for share in (2 / 3, 1 / 3)]) / 2
    assert LogME()(Labelled(np.zeros((3, 2)), labels, None)) == pytest.approx(expected)


def test_it_grows_with_the_signal(rows: Make) -> None:
    found = [LogME()(rows(200, 8, signal)) for signal in (0, 2, 4, 8)]
    assert found == sorted(found)
    assert found[-1] > found[0] + 0.3


def test_the_scale_of_the_vectors_and_their_order_do_not_matter(rows: Make) -> None:
    given = rows(30, 50)
    order = np.random.default_rng(1).permutation(30)
    turned = Labelled(1e5 * given.vectors[order], given.labels[order], None)
    assert LogME()(turned) == pytest.approx(LogME()(given), abs=1e-9)


def test_of_two_peaks_of_the_evidence_the_higher_one_is_found() -> None:
    labels = np.arange(30) % 3
    rng = np.random.default_rng(0)
    weak = 0.01 * (np.eye(3)[labels][:, 2] + 0.001 * rng.standard_normal(30))  # small, and says all
    strong = np.eye(3)[labels][:, :2] @ np.array([[1, 2], [2, 1]]) + 0.1 * rng.standard_normal((30, 2))
    given = Labelled(np.column_stack([strong, weak]), labels, None)
    assert LogME()(given) == pytest.approx(logme_by_search(given), abs=1e-5)


def test_a_perfect_fit_is_finite_and_the_same_in_any_order() -> None:
    labels = np.arange(30) % 3
    given = Labelled(np.eye(3)[labels] @ np.array([[1, 2, 0.3], [0.5, 1, 1], [0, 0.1, 7]]), labels, None)
    order = np.random.default_rng(1).permutation(30)
    found = LogME()(given)
    assert 5 < found < 20
    assert LogME()(Labelled(given.vectors[order], labels[order], None)) == pytest.approx(found, abs=1e-9)
