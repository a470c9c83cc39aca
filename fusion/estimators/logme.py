"""How probable the labels are under a linear model of the vectors."""

import numpy as np

from fusion.estimator import Estimator, Floats, Labelled

LEAST, MOST = 1e-12, 1e12  # of the ratio, beside the largest eigenvalue: it may have no finite best
MISFIT = 1e-10  # share of a target that no vectors explain: below, rounding would decide
ROUNDS, TOLERANCE = 1000, 1e-8


class LogME(Estimator):
    """Logarithm of maximum evidence, per row and averaged over the classes (You et al. 2021).

    Each class is a target of 0 and 1 for Bayesian linear regression, with precisions alpha of the weights and
    beta of the noise. Once beta is the best for it, the evidence depends on their ratio alone, which is found
    by the fixed point of MacKay (1992) in the basis of the singular vectors (You et al. 2022).
    """

    def __call__(self, rows: Labelled) -> float:
        left, singular, _ = np.linalg.svd(rows.vectors, full_matrices=False)
        targets = np.eye(rows.labels.max() + 1)[rows.labels]  # (n, classes)
        energy = targets.sum(axis=0)  # (classes,)
        inside = (left.T @ targets).T ** 2  # (classes, r) along each singular vector
        outside = np.maximum(energy - inside.sum(axis=1), MISFIT * energy)  # (classes,) off all of them
        return float(_evidence(singular**2, inside, outside, len(targets)).mean() / len(targets))


def _evidence(eigen: Floats, inside: Floats, outside: Floats, n: int) -> Floats:
    """Return the largest logarithm of the evidence of each class, (classes,)."""
    scale = eigen.max() or 1.0
    ratio = np.full((len(inside), 1), scale / n)  # alpha / beta
    for _ in range(ROUNDS):
        left_over = ratio / (eigen + ratio)  # (classes, r) share of a direction that is taken for noise
        degrees = (1 - left_over).sum(axis=1)
        noise = outside + (inside * left_over**2).sum(axis=1)
        weights = (inside * eigen / (eigen + ratio) ** 2).sum(axis=1)  # squared norm of the mean weights
        rest = n - len(eigen) + left_over.sum(axis=1)  # n - degrees
        least, most = LEAST * scale * weights, MOST * scale * weights
        hopeless = np.full(len(weights), MOST * scale)  # where no vector says anything of a class
        new = np.divide(
            np.clip(degrees * noise / rest, least, most), weights, out=hopeless, where=weights > 0
        )[:, None]
        done = np.allclose(new, ratio, rtol=TOLERANCE, atol=0.0)
        ratio = new
        if done:
            break
    left_over = ratio / (eigen + ratio)
    energy = outside + (inside * left_over).sum(axis=1)  # noise + ratio * weights
    evidence: Floats = 0.5 * (np.log(left_over).sum(axis=1) - n * np.log(2 * np.pi * energy / n) - n)
    return evidence
