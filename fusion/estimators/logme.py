"""How probable the labels are under a linear model of the vectors."""

from typing import NamedTuple

import numpy as np

from fusion.estimator import Estimator, Floats, Labelled

RATIOS = np.geomspace(1e-12, 1e12, 97)  # beside the largest eigenvalue; the best may be 0 or infinite
MISFIT = 1e-10  # share of a target that no vectors explain: below, rounding would decide
ROUNDS, TOLERANCE = 1000, 1e-8


class LogME(Estimator):
    """Logarithm of maximum evidence, per row and averaged over the classes (You et al. 2021).

    Each class is a target of 0 and 1 for Bayesian linear regression, with precisions alpha of the weights and
    beta of the noise. Once beta is the best for it, the evidence depends on their ratio alone. It may have
    several peaks: the fixed point of MacKay (1992) starts from the best ratio of a grid.
    """

    def __call__(self, rows: Labelled) -> float:
        left, singular, _ = np.linalg.svd(rows.vectors, full_matrices=False)
        targets = np.eye(rows.labels.max() + 1)[rows.labels]  # (n, classes)
        energy = targets.sum(axis=0)  # (classes,)
        inside = (left.T @ targets).T ** 2  # (classes, r) along each singular vector
        outside = np.maximum(energy - inside.sum(axis=1), MISFIT * energy)  # (classes,) off all of them
        regressions = _Regressions(singular**2, inside, outside, len(targets))
        scale = regressions.eigen.max() or 1.0
        grid = [regressions.evidence(np.full((len(energy), 1), ratio * scale)) for ratio in RATIOS]
        ratio = scale * RATIOS[np.argmax(grid, axis=0)][:, None]  # (classes, 1)
        for _ in range(ROUNDS):
            new = np.clip(regressions.better(ratio), scale * RATIOS[0], scale * RATIOS[-1])
            done = np.allclose(new, ratio, rtol=TOLERANCE, atol=0.0)
            ratio = new
            if done:
                break
        return float(regressions.evidence(ratio).mean() / len(targets))


class _Regressions(NamedTuple):
    """One regression for each class, in the basis of the singular vectors; a ratio is (classes, 1)."""

    eigen: Floats  # (r,)
    inside: Floats  # (classes, r)
    outside: Floats  # (classes,)
    n: int

    def evidence(self, ratio: Floats) -> Floats:
        """Return the logarithm of the evidence at these ratios alpha / beta and the best beta, (classes,)."""
        noise = ratio / (self.eigen + ratio)  # (classes, r) share of a direction that is taken for noise
        energy = self.outside + (self.inside * noise).sum(
            axis=1
        )  # of the residuals, and ratio * the weights'
        scaled = self.n * np.log(2 * np.pi * energy / self.n)
        found: Floats = 0.5 * (np.log(noise).sum(axis=1) - scaled - self.n)
        return found

    def better(self, ratio: Floats) -> Floats:
        """Return the next ratios: degrees of freedom by energy, of the weights and of the residuals."""
        noise = ratio / (self.eigen + ratio)
        degrees = (1 - noise).sum(axis=1)
        others = self.n - len(self.eigen) + noise.sum(axis=1)
        weights = (self.inside * self.eigen / (self.eigen + ratio) ** 2).sum(axis=1)
        residuals = self.outside + (self.inside * noise**2).sum(axis=1)
        top, bottom = degrees * residuals, others * weights
        new: Floats = np.divide(top, bottom, out=ratio[:, 0].copy(), where=bottom > 0)[:, None]
        return new
