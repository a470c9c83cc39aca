"""Answer for what was put into the page: as HTML that holds all it shows."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from fusion.batch import Row
from fusion.errors import DataError, FusionError
from fusion.gate import Gate
from fusion.inference import Predictor
from fusion.report.charts import Bar, bars
from fusion.report.explained import contributed
from fusion.report.figures import Chart
from fusion.report.found import Seen, seen
from fusion.report.template import template
from fusion.search import Index
from fusion.search.ask import find

CLASSES = 1000
"""Names of classes that one may type."""
MOST = 5
"""Classes and rows that are shown of each."""


class Near(NamedTuple):
    """The rows that lie nearest, by one of the modalities of the index."""

    modality: str
    rows: Sequence[Seen]


class Answers:
    """What a run says to samples in the forms that the page has them: texts, of which some are JSON."""

    def __init__(self, predictor: Predictor, index: Index | None = None) -> None:
        self.predictor, self.index = predictor, index
        self.gate = Gate(predictor.model.processors)

    def __call__(self, labels: str, *given: str | None) -> str:
        """Return what to show for samples in the order of modalities, and names of classes, a line each."""
        try:
            return self._page(self._row(given), self._named(labels))
        except FusionError as error:
            return template("app.html").render(error=str(error))

    @property
    def namer(self) -> str | None:
        """The modality by whose texts classes can be named; None where there is none."""
        known = self.predictor.recipe.evaluate.zero_shot
        name = known.modality if known else "text"
        return name if name in self.gate.takes and "text" in self.gate.takes[name] else None

    def _named(self, labels: str) -> list[str]:
        """Return the names of classes that were typed, which are let in as samples of the namer are."""
        named = [line.strip() for line in labels.splitlines() if line.strip()]
        if len(named) > CLASSES:
            raise DataError(f"{len(named):,} classes are named; at most {CLASSES:,} are taken here")
        return [self.gate.sample(self.namer, line) for line in named] if self.namer else []

    def _row(self, given: Sequence[str | None]) -> Row:
        return self.gate.row(
            {
                name: one if "text" in self.gate.takes[name] else _parsed(name, one)
                for name, one in zip(self.gate.takes, given, strict=True)
                if one
            }
        )

    def _page(self, row: Row, labels: Sequence[str]) -> str:
        answered = self._answered(row) if self.predictor.model.tasks else {}
        if labels and self.namer:
            templates = self.predictor.recipe.evaluate.zero_shot
            forms = templates.templates if templates else ["{}"]
            for name, found in self.predictor.zero_shot(row, labels, forms, self.namer).items():
                answered[f"{name}, by your words"] = [_ranked(labels, found.probabilities[0].tolist())]
        return template("app.html").render(error="", answered=answered, near=self._near(row))

    def _answered(self, row: Row) -> dict[str, list[Chart]]:
        """Return by task the answer, and what each modality adds to it."""
        model, recipe = self.predictor.model, self.predictor.recipe
        explained, charts = self.predictor.explain(row), {}
        for name, answer in explained.answers.items():
            score = answer.score[0].tolist()
            if isinstance(score, list) and model.tasks[name].target == recipe.evaluate.target:
                shown = _ranked(recipe.classes or [str(at) for at in range(len(score))], score)
            else:
                shown = Chart(_written(answer.value[0].tolist()), Markup(), "")
            charts[name] = [shown]
            if explained.contributions[name].nothing.numel() == 1:
                added = contributed(name, explained.contributions[name])
                charts[name].append(added._replace(caption="What each adds"))
        return charts

    def _near(self, row: Row) -> list[Near]:
        if self.index is None:
            return []
        names, kinds = self.index.within(None), self.predictor.model.processors
        found = {name: find(self.predictor, self.index, row, MOST, [name])[0] for name in names}
        return [
            Near(name, seen([(hit, self.index.sample(hit)) for hit in hits], kinds))
            for name, hits in found.items()
        ]


def _parsed(name: str, given: str) -> Any:
    try:
        return json.loads(given)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: this is not JSON: {error}") from error


def _ranked(names: Sequence[str], score: Sequence[float]) -> Chart:
    best = sorted(zip(score, names, strict=False), reverse=True)[:MOST]
    drawing = bars(
        [Bar(name, value) for value, name in best],
        label="probabilities",
        write=lambda value: f"{100 * value:.1f} %",
        names=("class", "probability"),
    )
    return Chart(best[0][1], drawing, "")


def _written(value: Any) -> str:
    return ", ".join(map(_written, value)) if isinstance(value, list) else f"{value:g}"
