"""How far probabilities can be trusted: counted batch by batch, so that no row's scores are kept."""

from typing import Any

import torch
from torch import Tensor

from fusion.evaluation.spread import Spread

BINS = 15
"""Of confidence, between 0 and 1 (Guo et al. 2017)."""
POINTS = 100
"""Of a curve in the report."""


class Calibration:
    """Counts rows of a classification by how sure it was and whether it was right.

    All rows are counted, in fp64, but for what goes by the order of their confidences: of more than two
    million rows that sees a part which is evenly spread.
    """

    def __init__(self) -> None:
        self.bins = torch.zeros(3, BINS, dtype=torch.float64)  # rows, their confidence, those that are right
        self.likelihood = self.squares = 0.0
        self.order = Spread()

    def add(self, score: Tensor, target: Tensor) -> None:
        """Count rows with probabilities, (r, classes), and true classes, (r,)."""
        score = score.double()
        sure, said = score.max(dim=1)
        right = (said == target).double()
        true = score.gather(1, target.unsqueeze(1))[:, 0]
        place = (sure * BINS).ceil().long().clamp(1, BINS) - 1  # bin m is ((m - 1) / 15, m / 15]
        for held, weight in zip(self.bins, (torch.ones_like(sure), sure, right), strict=True):
            held += torch.bincount(place, weight, minlength=BINS)
        self.likelihood -= float(true.clamp(min=torch.finfo(torch.float32).tiny).log().sum())
        self.squares += float((score.square().sum(dim=1) - 2 * true + 1).sum())
        self.order.add(torch.stack([sure, right], dim=1))

    def metrics(self) -> dict[str, float]:
        """Return the metrics of all rows that were added, one at least.

        `ece`: expected calibration error, the mean distance of confidence and accuracy over 15 bins of equal
        width (Guo et al. 2017, eq. 3). `ece_adaptive`: the same over 15 bins of equally many rows (Nguyen and
        O'Connor 2015). `nll`: negative log-likelihood, in nats. `brier`: squared distance to the true class,
        0 to 2 (Brier 1950). `aurc`: area under the risk-coverage curve (Geifman and El-Yaniv 2017).
        """
        rows = float(self.bins[0].sum())
        sure, right = self._sorted()
        parts = zip(sure.tensor_split(BINS), right.tensor_split(BINS), strict=True)
        apart = sum(float((one - other).sum().abs()) for one, other in parts)
        return {
            "ece": float((self.bins[1] - self.bins[2]).abs().sum()) / rows,
            "ece_adaptive": apart / len(sure),
            "brier": self.squares / rows,
            "nll": self.likelihood / rows,
            "aurc": float(self._risk().mean()),
        }

    def details(self) -> dict[str, Any]:
        """Return what the report draws: bins that hold rows, and the risk at a coverage, both shares."""
        rows, sure, right = self.bins[:, self.bins[0] > 0]
        risk = self._risk()
        last = torch.linspace(0, len(risk) - 1, min(POINTS, len(risk))).long()
        return {
            "bins": torch.stack([rows, sure / rows, right / rows], dim=1).tolist(),
            "risk": torch.stack([(last + 1) / len(risk), risk[last]], dim=1).tolist(),
        }

    def _sorted(self) -> tuple[Tensor, Tensor]:
        """Return confidence and whether it was right, (r,) each, the surest first."""
        rows = self.order.rows
        sure, right = rows[rows[:, 0].argsort(descending=True, stable=True)].unbind(dim=1)
        return sure, right

    def _risk(self) -> Tensor:
        """Return the share of wrong rows among the k surest, for k = 1 to r, (r,).

        Of rows that are equally sure any may come first: each counts as the mean of them.
        """
        sure, right = self._sorted()
        group = torch.zeros(len(sure), dtype=torch.long)
        group[1:] = (sure[1:] != sure[:-1]).cumsum(0)
        wrong: Tensor = (torch.bincount(group, 1 - right) / torch.bincount(group))[group]
        return wrong.cumsum(0) / torch.arange(1, len(wrong) + 1)
