"""What a search has shown: for a terminal, as JSON, and as one offline page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fusion.recipe.axis import Axis, Range
from fusion.report.charts import Bar, Curve, Dot, Stop, bars, cloud, dots, lines
from fusion.report.figures import Chart
from fusion.report.headline import Figure
from fusion.report.numbers import is_share, points, share, written
from fusion.report.page import Section
from fusion.report.tables import Mark, Marked, Table
from fusion.report.template import template, write
from fusion.studies.compare import Spread
from fusion.studies.figures import ticks
from fusion.studies.names import word
from fusion.studies.space import FEWEST, Values


class Tried(NamedTuple):
    """A trial: where it stood, and its score, or why it failed."""

    number: int
    values: Values
    score: float | None = None
    failed: str = ""
    known: Sequence[str] = ()  # the metrics that it has

    @property
    def name(self) -> str:
        return f"trial-{self.number:03d}"

    def __str__(self) -> str:
        return f"{self.name}: {', '.join(f'{path}={_word(value)}' for path, value in self.values.items())}"

    def record(self) -> dict[str, Any]:
        return {"trial": self.number, "values": self.values, "score": self.score, "failed": self.failed}


class Tuned(NamedTuple):
    """A search and what it has found; of the trials at least one has a score."""

    name: str
    over: Mapping[str, Axis]
    metric: str
    sign: int  # -1 where less of the metric is better
    tried: Sequence[Tried]
    as_it_is: Tried | None  # the trial of the recipe without any change
    importance: Mapping[str, float]  # by path, largest first; empty where it cannot be told
    held: bool  # whether the metric is that of rows which are held back

    @property
    def scored(self) -> list[tuple[Tried, float]]:
        return [(one, one.score) for one in self.tried if one.score is not None]

    @property
    def best(self) -> Tried:
        """The best trial, the first of equally good ones."""
        return max(self.scored, key=lambda pair: self.sign * pair[1])[0]

    def notes(self) -> list[str]:
        alike: dict[str, list[str]] = {}
        for one in self.tried:
            if one.failed:
                alike.setdefault(one.failed, []).append(one.name)
        failed = [
            Marked(f"Failed, and told the search nothing: {', '.join(names)}: {reason}", Mark.WORSE)
            for reason, names in alike.items()
        ]
        rows = "best.sources" if self.held else "evaluate.sources"
        told = [
            *failed,
            f"The best of {len(self.scored)} was chosen by {self.metric} on the rows of {rows}, where it "
            "looks better than it is. Measure it on rows that chose nothing.",
            "One seed a trial: what trials differ by may be luck. Train the best and the recipe as it was "
            "with several seeds.",
        ]
        if len(self.over) > 1 and not self.importance:
            told.append(f"What mattered is told from {FEWEST} trials with different scores on.")
        return told

    def tables(self) -> list[Table]:
        return [self._chosen(), *self._importance(), self._trials()]

    def sections(self) -> list[Section]:
        """Return what there is to show, by heading; a section without content is left out."""
        every = [
            Section("best", "The best", [self._chosen()], [self._course()]),
            Section("importance", "What mattered", charts=self._shares()),
            Section("axes", "Key by key", charts=[self._along(path) for path in self.over]),
            Section("trials", "All trials", [self._trials()]),
        ]
        return [section for section in every if section.tables or section.charts]

    def record(self) -> dict[str, Any]:
        """Return everything as plain data with stable keys."""
        return {
            "name": self.name,
            "by": self.metric,
            "best": self.best.record(),
            "importance": dict(self.importance),
            "trials": [one.record() for one in self.tried],
            "notes": self.notes(),
        }

    def headline(self) -> list[Figure]:
        best, first = self.best, self.as_it_is
        assert best.score is not None
        told = [
            Figure(
                written(self.metric, best.score), self.metric, f"{best.name}, the best of {len(self.scored)}"
            )
        ]
        if first is not None and first.score is not None and best is not first:
            gain = best.score - first.score
            text = f"{points(gain)} points" if is_share(self.metric) else f"{gain:+.4g}"
            told.append(
                Figure(
                    text.partition(" ")[0],
                    "beside the recipe as it was",
                    f"{written(self.metric, first.score)} then",
                )
            )
        if self.importance:
            path, part = next(iter(self.importance.items()))
            told.append(Figure(share(part), f"of the variance by {path}", "alone, by fANOVA"))
        failed = len(self.tried) - len(self.scored)
        return [
            *told,
            Figure(str(len(self.tried)), "trials", f"{failed} failed" if failed else "none failed"),
        ]

    def _chosen(self) -> Table:
        shown = [self.best, *([self.as_it_is] if self.as_it_is not in (None, self.best) else [])]
        rows = [
            [path, *(_word(one.values[path]) for one in shown), _range(axis)]
            for path, axis in self.over.items()
        ]
        rows.append([self.metric, *map(self._score, shown), ""])
        names = [self.best.name, "the recipe as it was"][: len(shown)]
        note = "best.yaml beside this page is the recipe with the values of the best trial."
        return Table("Values of the best trial", ["key", *names, "looked in"], rows, note)

    def _importance(self) -> list[Table]:
        rows = [[path, share(part)] for path, part in self.importance.items()]
        return [Table("What mattered", ["key", "share of the variance"], rows)] if rows else []

    def _trials(self) -> Table:
        best = self.best
        rows = [
            [
                Marked(one.name, Mark.BEST) if one is best else one.name,
                *(_word(one.values[path]) for path in self.over),
                Marked("failed", Mark.WORSE) if one.failed else self._score(one),
            ]
            for one in self.tried
        ]
        return Table("Trials", ["trial", *self.over, self.metric], rows, "In their order; bold: the best.")

    def _course(self) -> Chart:
        every, leading, best = [], [], -float("inf")
        for one, score in self.scored:
            best = max(best, self.sign * score)
            every.append((one.number, score))
            leading.append((one.number, self.sign * best))
        drawing = lines(
            [Curve("the trial", every), Curve("the best so far", leading)],
            x="trial",
            y=self.metric,
            label=f"{self.metric} of every trial",
        )
        return Chart(
            "Trial by trial", drawing, "The first ten look at random places, the others where it seemed good."
        )

    def _shares(self) -> list[Chart]:
        if not self.importance:
            return []
        rows = [Bar(path, part) for path, part in self.importance.items()]
        drawing = bars(rows, label="importance of the keys", write=share, names=("", ""), full=1.0)
        note = (
            f"The share of the variance of {self.metric} that a key explains alone, by fANOVA over "
            f"{len(self.scored)} trials. Few trials tell it roughly, and only of where they looked."
        )
        return [Chart("Importance", drawing, note)]

    def _along(self, path: str) -> Chart:
        axis = self.over[path]
        if isinstance(axis, Range):
            stops = [
                Stop(one.values[path], score, "", f"{one}: {written(self.metric, score)}")
                for one, score in self.scored
            ]
            best = [one for one, _ in self.scored].index(self.best)
            label = f"{self.metric} over {path}"
            drawing = cloud(stops, x=path, y=self.metric, label=label, log=axis.log, best=best)
            return Chart(path, drawing, "A dot is a trial; filled: the best.")
        rows = []
        for value in axis:
            scores = {one.number: score for one, score in self.scored if one.values[path] == value}
            if scores:
                spread = Spread(scores)
                text = f"{written(self.metric, float(spread.mean))}, {len(scores)} trials"
                rows.append(Dot(_word(value), spread.mean, spread.deviation, list(scores.values()), text))
        drawing = dots(rows, label=f"{self.metric} by {path}", write=ticks(self.metric))
        return Chart(
            path,
            drawing,
            "Filled: the mean of its trials, with one deviation to either side. Open: single trials.",
        )

    def _score(self, one: Tried) -> str:
        return written(self.metric, one.score)


def render(tuned: Tuned, path: Path) -> Path:
    """Write the page and return its path."""
    page = template("study.html").render(
        name=tuned.name,
        kind="fusion tune",
        headline=tuned.headline(),
        notes=tuned.notes(),
        sections=tuned.sections(),
    )
    return write(path, page)


def _word(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else word(value)


def _range(axis: Axis) -> str:
    return str(axis) if isinstance(axis, Range) else ", ".join(map(_word, axis))
