"""LEEP against loops over rows and classes, and by hand."""

from math import log

import numpy as np
import pytest

from fusion import Labelled
from fusion.estimators.leep import Leep


def leep_by_loops(labels: list[int], source: list[list[float]]) -> float:
    n, total = len(labels), 0.0
    for row, label in enumerate(labels):
        expected = 0.0
        for z, probability in enumerate(source[row]):
            joint = sum(source[other][z] for other in range(n) if labels[other] == label) / n
            marginal = sum(source[other][z] for other in range(n)) / n
            expected += joint / marginal * probability
        total += log(expected)
    return total / n


def test_it_is_what_loops_give() -> None:
    rng = np.random.default_rng(0)
    labels, source = rng.integers(0, 3, 25), rng.dirichlet(np.ones(5), 25)
    labels[:3] = [0, 1, 2]
    found = Leep()(Labelled(np.zeros((25, 2)), labels, source))
    assert found == pytest.approx(leep_by_loops(labels.tolist(), source.tolist()))


def test_a_source_that_knows_the_labels_by_other_names_gets_zero() -> None:
    labels = np.array([0, 1, 1, 2])
    source = np.eye(4)[[3, 0, 1, 2]]  # two of its classes are one of the target's
    assert Leep()(Labelled(np.zeros((4, 2)), labels, source)) == 0


def test_a_source_that_always_says_the_same_leaves_the_shares_of_the_labels() -> None:
    labels, source = np.array([0, 0, 0, 1]), np.tile([0.9, 0.1, 0.0], (4, 1))
    expected = (3 * log(3 / 4) + log(1 / 4)) / 4
    assert Leep()(Labelled(np.zeros((4, 2)), labels, source)) == pytest.approx(expected)


def test_it_grows_with_what_the_source_knows() -> None:
    labels = np.arange(60) % 3
    sources = [(1 - share) / 4 + share * np.eye(4)[labels] for share in (0.0, 0.3, 0.6, 0.9)]
    found = [Leep()(Labelled(np.zeros((60, 2)), labels, source)) for source in sources]
    assert found == sorted(found)
    assert found[0] == pytest.approx(log(1 / 3))


def test_without_a_source_there_is_none() -> None:
    assert (
        Leep()(Labelled(np.zeros((2, 2)), np.array([0, 1]), None)) == "it starts from no run that classifies"
    )
