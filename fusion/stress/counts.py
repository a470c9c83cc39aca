"""What is counted of a trial: what tasks answer, for every subset of modalities."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from fusion.evaluation.kept import Column
from fusion.evaluation.sweep import Rows
from fusion.evaluation.tally import Tally
from fusion.explain.shapley import Subset
from fusion.model import Model
from fusion.recipe.schema import Recipe
from fusion.report.stress import Versus
from fusion.stress.stress import Trial, Wanted


class Versed:
    """Counts the rows that have all of a subset: what is damaged alone, all of it fused, and the rest."""

    def __init__(self, model: Model, target: str, damaged: Subset, subsets: Iterable[Subset]) -> None:
        self.damaged = damaged
        self.tallies = {
            subset: Tally(model, target, 0, unlabelled=False)
            for subset in subsets
            if set(damaged) < set(subset)
        }

    def add(self, rows: Rows) -> None:
        for subset, tally in self.tallies.items():
            having, scores = rows.having(subset), of_subsets(rows, self._parts(subset))
            if scores and having.any():
                tally.add(rows._replace(vectors={}, content={}, scores=scores).where(having))

    def versus(self, clean: Mapping[str, Versus] | None = None) -> dict[str, Versus]:
        """Return what was counted, by subset; of a subset that no labelled row has, nothing.

        What answers without the damaged modality is not counted in a trial, but taken from `clean`.
        """
        found = {}
        for subset, tally in self.tallies.items():
            metrics = tally.metrics()
            rows = [value for key, value in metrics.items() if key.endswith("/rows")]
            if rows:
                alone, fused, without = (_answers(metrics, part) for part in self._parts(subset))
                name = "+".join(subset)
                without = without if clean is None else clean[name].without
                found[name] = Versus(rows=max(rows), alone=alone, fused=fused, without=without)
        return found

    def _parts(self, subset: Subset) -> list[Subset]:
        return [self.damaged, subset, _less(subset, self.damaged)]


class Counted:
    """Counts what is wanted of a trial, and keeps the vectors of what it damages, of `rows` rows or so."""

    def __init__(
        self,
        trial: Trial,
        wanted: Wanted,
        model: Model,
        recipe: Recipe,
        subsets: Sequence[Subset],
        rows: int,
    ) -> None:
        target = recipe.evaluate.target
        self.trial, self.wanted = trial, wanted
        self.subsets = [
            subset
            for subset in subsets
            if set(subset) & set(trial.modalities) and (wanted.subsets is None or subset in wanted.subsets)
        ]
        self.tally = Tally(model, target, 0, unlabelled=False)
        self.versed = Versed(model, target, trial.modalities, subsets)
        self._vectors = {name: Column(rows) for name in trial.modalities if wanted.vectors}

    def touched(self, rows: Rows) -> Rows:
        """Return what of the rows is counted here."""
        return rows._replace(vectors={name: rows.vectors[name] for name in self._vectors}, content={})

    def add(self, rows: Rows) -> None:
        self.tally.add(rows)
        self.versed.add(rows)
        for name, column in self._vectors.items():
            column.add(rows.vectors[name][rows.present[name]])

    @property
    def vectors(self) -> dict[str, Tensor]:
        """Those of the rows that have a modality, (p, w)."""
        return {name: column.filled for name, column in self._vectors.items()}


def closed(recipe: Recipe, damaged: Iterable[Subset]) -> list[Subset]:
    """Return the subsets to measure: those of the recipe, all, what is damaged, and what else each has."""
    wanted = dict.fromkeys([*recipe.subsets(), recipe.modalities])
    for some in damaged:
        rest = [_less(subset, some) for subset in wanted if set(some) < set(subset)]
        wanted |= dict.fromkeys([some, *rest])
    return sorted(wanted, key=len)


def of_subsets(rows: Rows, subsets: Sequence[Subset]) -> dict[str, Tensor]:
    """Return the scores that were answered from these subsets."""
    names = {"+".join(subset) for subset in subsets}
    return {answered: score for answered, score in rows.scores.items() if answered.split("/")[0] in names}


def _less(subset: Subset, damaged: Subset) -> Subset:
    return tuple(name for name in subset if name not in damaged)


def _answers(metrics: dict[str, Any], subset: Subset) -> dict[str, float]:
    """Return the metrics of the tasks, by "METRIC", or by "TASK/METRIC" where there are several tasks."""
    start = f"subsets/{'+'.join(subset)}/"
    return {
        key.removeprefix(start): value
        for key, value in metrics.items()
        if key.startswith(start) and not {"rows", "averaged"} & set(key.removeprefix(start).split("/"))
    }
