"""Each check of an estimator finds the bug that it is there for."""

import random
from typing import Any

import numpy as np
import pytest

from fusion import Estimator, Labelled, PluginError
from fusion.testing import check_estimator


class Between(Estimator):
    """The share of the variance that is between the classes."""

    def __init__(self, *, power: float = 1.0) -> None:
        self.power = power

    def __call__(self, rows: Labelled) -> float | str:
        centred = rows.vectors - rows.vectors.mean(axis=0)
        total = (centred**2).sum()
        if not total:
            return "all vectors are equal"
        targets = np.eye(rows.labels.max() + 1)[rows.labels]
        between = ((targets.T @ centred) ** 2).sum(axis=1) / targets.sum(axis=0)
        return float((between.sum() / total) ** self.power)


def test_a_good_estimator_passes() -> None:
    assert check_estimator(Between, power=2.0) == [
        "it estimates ordinary rows",
        "it leaves the rows as they are",
        "equal rows get the same estimate 10 times, and by another build",
        "vectors and probabilities that tell the classes get more than noise",
        "it gives a finite number, or words, for 8 strange sets of rows",
    ]


class Silent(Between):
    def __call__(self, rows: Labelled) -> str:
        return "I would rather not"


class Centres(Between):
    def __call__(self, rows: Labelled) -> float | str:
        rows.vectors[...] -= rows.vectors.mean(axis=0)
        return super().__call__(rows)


class Draws(Between):
    def __call__(self, rows: Labelled) -> float | str:
        return random.random()


class Distance(Between):
    """Smaller is better."""

    def __call__(self, rows: Labelled) -> float | str:
        found = super().__call__(rows)
        return found if isinstance(found, str) else -found


class Divides(Between):
    def __call__(self, rows: Labelled) -> float | str:
        with np.errstate(invalid="ignore"):
            spread = rows.vectors.std(axis=0)
            return float((rows.vectors[rows.labels == 0].std(axis=0) / spread).mean() * -1)


class Whole(Between):
    def __call__(self, rows: Labelled) -> Any:
        return len(rows.labels)


@pytest.mark.parametrize(
    ("build", "found"),
    [
        (Labelled, "it builds a Labelled; expected a fusion.Estimator"),
        (Silent, "it has no estimate of ordinary rows: I would rather not; expected a number"),
        (Centres, "it changes the rows that it is given; expected them as they were"),
        (Draws, r"it gives 0\.\d+ after 0\.\d+; expected the same each time, for equal rows"),
        (
            Distance,
            r"noise gets -0\.\d+, vectors that tell the classes -0\.\d+; expected larger to be better",
        ),
        (Divides, "for vectors that are all equal it gives nan; expected a finite float, or in words why"),
        (Whole, "for 90 rows with probabilities of a source it gives 90; expected a finite float"),
    ],
)
def test_a_faulty_one_is_found(build: Any, found: str) -> None:
    options = {"vectors": None, "labels": None, "source": None} if build is Labelled else {}
    with pytest.raises(PluginError, match=found):
        check_estimator(build, **options)
