"""How far the classes lie apart, beside how far the vectors spread."""

from typing import Annotated

import numpy as np
from pydantic import Field

from fusion.estimator import Estimator, Floats, Labelled


class HScore(Estimator):
    """H-score: the trace of cov(vectors)^-1 cov(means of their classes) (Bao et al. 2019).

    `shrinkage` is the share of the scaled identity in cov(vectors), by which cov(means) is shrunk, too
    (Ibrahim et al. 2021); by default the one of Ledoit and Wolf (2004). 0 gives the plain score, at most the
    number of classes less 1, which vectors longer than there are rows always reach.
    """

    def __init__(self, *, shrinkage: Annotated[float | None, Field(ge=0, lt=1)] = None) -> None:
        self.shrinkage = shrinkage

    def __call__(self, rows: Labelled) -> float:
        centred = rows.vectors - rows.vectors.mean(axis=0)
        n, d = centred.shape
        left, singular, _ = np.linalg.svd(centred, full_matrices=False)
        kept = singular > np.abs(rows.vectors).max() * n * d * np.finfo(float).eps
        if not kept.any():
            return 0.0  # all vectors are equal
        eigen, left = singular[kept] ** 2 / n, left[:, kept]  # (r,) of cov(vectors), (n, r)
        share = _ledoit_wolf(centred, eigen) if self.shrinkage is None else self.shrinkage
        counts = np.bincount(rows.labels)
        sums = np.eye(len(counts))[rows.labels].T @ left  # (classes, r)
        between = eigen * (sums**2 / counts[:, None]).sum(axis=0)  # (r,) the diagonal of cov(means)
        return float((1 - share) * (between / ((1 - share) * eigen + share * eigen.sum() / d)).sum())


def _ledoit_wolf(centred: Floats, eigen: Floats) -> float:
    """Return the share at which the expected squared error of the covariance is least."""
    n, d = centred.shape
    squares = (eigen**2).sum()
    distance = squares - eigen.sum() ** 2 / d  # squared, from the covariance to the scaled identity
    error = (((centred**2).sum(axis=1) ** 2).mean() - squares) / n  # squared, of the covariance itself
    return 1.0 if error >= distance else float(error / distance)
