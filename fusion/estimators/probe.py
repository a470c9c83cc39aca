"""How often a linear classifier of the vectors is right."""

from typing import Annotated

import numpy as np
from pydantic import Field
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fusion.estimator import Estimator, Labelled

ITERATIONS = 2000


class Probe(Estimator):
    """Linear probe: the accuracy of multinomial logistic regression, in cross-validation.

    Each of the `folds` is left out in turn; every class is spread evenly over them, in the order of its rows.
    Numbers of a vector are standardised on the rows that are fitted; `penalty` is that of half the squared
    weights, beside the sum of the cross entropies.
    """

    def __init__(
        self, *, folds: Annotated[int, Field(ge=2)] = 5, penalty: Annotated[float, Field(gt=0)] = 1.0
    ) -> None:
        self.folds, self.penalty = folds, penalty

    def __call__(self, rows: Labelled) -> float:
        vectors, labels = rows.vectors, rows.labels
        fold = np.empty_like(labels)
        fold[labels.argsort(kind="stable")] = np.arange(len(labels)) % self.folds
        right = 0
        for number in np.unique(fold):
            out, fitted = fold == number, fold != number
            if len(np.unique(labels[fitted])) == 1:  # of a few rows, which leave nothing to fit
                right += int((labels[out] == labels[fitted][0]).sum())
                continue
            model = make_pipeline(
                StandardScaler(), LogisticRegression(C=1 / self.penalty, max_iter=ITERATIONS)
            ).fit(vectors[fitted], labels[fitted])
            right += int((model.predict(vectors[out]) == labels[out]).sum())
        return right / len(labels)
