"""What the classes of the source tell of those of the target."""

import numpy as np

from fusion.estimator import Estimator, Labelled


class Leep(Estimator):
    """Log expected empirical prediction (Nguyen et al. 2020, equation 2): at most 0.

    The classifier of the run that the candidate starts from says how probable each of its own classes is;
    from the labels follows how probable each label is, given one of those. Their product predicts the label.
    """

    def __call__(self, rows: Labelled) -> float | str:
        if rows.source is None:
            return "it starts from no run that classifies"
        targets = np.eye(rows.labels.max() + 1)[rows.labels]  # (n, classes)
        joint = targets.T @ rows.source  # (classes, source classes)
        given = joint / np.maximum(joint.sum(axis=0), np.finfo(float).tiny)
        expected = (rows.source * given[rows.labels]).sum(axis=1)  # (n,)
        return float(np.log(expected).mean())
