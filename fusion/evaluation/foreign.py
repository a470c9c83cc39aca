"""Tell rows of another kind from those that are measured: by energy, by distance, by confidence."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fusion.evaluation.spread import Spread
from fusion.evaluation.sweep import Rows
from fusion.recipe.schema import Recipe

NEIGHBOUR = 10
"""To which nearest known row the distance is taken."""
BARS = 30


class Strangers:
    """Keeps how foreign rows look, a number for each subset and way to tell, by source.

    Those that are measured have the source "". `distance`: to the tenth nearest of the `known` vectors (Sun
    et al. 2022, there to the k-th). `energy`: as the task has it (Liu et al. 2020). `confidence`: one less
    the largest probability (Hendrycks and Gimpel 2017).
    Of more than four million rows a part is kept that is evenly spread.
    """

    def __init__(self, recipe: Recipe, known: Mapping[str, Tensor]) -> None:
        self.asked, self.known = bool(recipe.evaluate.foreign), known
        self.kept: dict[str, dict[str, Spread]] = {}  # by "subset/way" or "subset/task/way", and source

    def add(self, source: str, rows: Rows) -> None:
        """Take rows of a source that is foreign, or "" for what is measured."""
        if not self.asked:
            return
        rows = rows.whole
        looks = {f"{answered}/energy": energy for answered, energy in rows.energy.items()}
        for answered, score in rows.scores.items():
            if f"{answered}/energy" in looks and score.ndim == 2:
                looks[f"{answered}/confidence"] = 1 - score.max(dim=1).values
        for subset, vectors in rows.fused.items():
            if subset in self.known:
                looks[f"{subset}/distance"] = distance(vectors, self.known[subset])
        for way, look in looks.items():
            having = rows.having(way.partition("/")[0].split("+"))
            if having.any():
                self.kept.setdefault(way, {}).setdefault(source, Spread()).add(look[having, None])

    def metrics(self, several: bool) -> dict[str, Any]:
        """Return for each foreign source, subset and way how well the two kinds are told apart (AUROC)."""
        metrics: dict[str, Any] = {}
        for way, sources in self.kept.items():
            subset, *task, look = way.split("/")
            for name, spread in sources.items():
                if name and "" in sources:
                    key = "/".join(["foreign", name, subset, *(task if several else []), look])
                    metrics[key] = auroc(sources[""].rows[:, 0], spread.rows[:, 0])
                    metrics[f"foreign/{name}/{subset}/rows"] = spread.seen
        return metrics

    def details(self) -> dict[str, Any]:
        """Return histograms for the report: by way and source, shares of its rows in bars of equal width."""
        found = {}
        for way, sources in self.kept.items():
            every = torch.cat([spread.rows[:, 0] for spread in sources.values()])
            low, high = float(every.min()), float(every.max())
            shares = {
                name: (torch.histc(spread.rows[:, 0], BARS, low, high) / len(spread.rows)).tolist()
                for name, spread in sources.items()
            }
            found[way] = {"low": low, "high": high, "shares": shares}
        return found


def distance(vectors: Tensor, known: Tensor) -> Tensor:
    """Return how far vectors, (r, w), are from their tenth nearest known one, (k, w); all of unit length."""
    near = min(NEIGHBOUR, len(known))
    return (2 - 2 * (vectors @ known.T).topk(near, dim=1).values[:, -1]).clamp(min=0).sqrt()


def auroc(one: Tensor, other: Tensor) -> float:
    """Return how often a number of the other, (m,), is larger than one, (n,); a tie counts as a half."""
    ordered = one.double().sort().values
    below = torch.searchsorted(ordered, other.double())
    upto = torch.searchsorted(ordered, other.double(), right=True)
    return float((below + upto).double().mean() / 2 / len(one))
