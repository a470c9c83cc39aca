"""Render the report of a run: one offline HTML page, from the files of its folder alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fusion.errors import RunError
from fusion.report import figures, merged, stressed, tables, trust
from fusion.report.compared import compared
from fusion.report.contributed import contributions
from fusion.report.figures import Chart
from fusion.report.files import Example, RunFiles, read
from fusion.report.headline import headline
from fusion.report.scores import sort
from fusion.report.tables import Table
from fusion.report.template import template, write

ODD = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What drawing raises where a stranger's file is JSON, and says other things than fusion writes."""


class Section(NamedTuple):
    """One part of the page, left out where all of its content is empty."""

    id: str
    title: str
    tables: Sequence[Table] = ()
    charts: Sequence[Chart] = ()
    extra: Any = None  # what the page lays out itself


def render(folder: Path) -> Path:
    """Write `report.html` into the run folder and return its path.

    Raises RunError where `metrics.json` is missing or a file is damaged; the old report then stays.
    """
    folder = Path(folder)
    try:
        page = _page(read(folder))
    except ODD as error:
        raise RunError(
            f"{folder}: no report can be drawn from what its files hold: {error!r}; evaluate the run again"
        ) from error
    return write(folder / "report.html", page)


def _page(files: RunFiles) -> str:
    return template("page.html").render(
        name=files.name,
        created=files.manifest.get("created", ""),
        headline=headline(sort(files.metrics)),
        sections=[
            section for section in _sections(files) if section.tables or section.charts or section.extra
        ],
        named=files.evaluation.named,
    )


def _sections(files: RunFiles) -> list[Section]:
    scores, evaluation = sort(files.metrics), files.evaluation
    merge = files.manifest.get("merge", {})
    ledger = [tables.bad_rows(files.ledger)] if files.ledger else []
    return [
        Section("smaller", "Made smaller", tables=compared(files.comparison)),
        Section("results", "Results", tables=[*files.notes, *tables.results(scores)]),
        Section("retrieval", "Retrieval", charts=figures.retrieval(scores.retrieval)),
        Section("subsets", "Subsets of modalities", charts=figures.subsets(scores.subsets)),
        Section(
            "calibration", "Calibration", trust.tables(scores.subsets, scores.rest), trust.charts(evaluation)
        ),
        Section("contributions", "Contributions", charts=contributions(evaluation)),
        Section("confusion", "Confusion", charts=figures.confusion(evaluation)),
        *(
            section
            for one in files.stresses
            for section in (
                Section(one.stress, f"Under {one.stress}", stressed.summary(one), stressed.charts(one)),
                Section(f"{one.stress}-kinds", f"Kinds of {one.stress}", stressed.kinds(one)),
            )
        ),
        Section("map", "The shared space", charts=figures.space(evaluation)),
        Section("training", "Training", charts=figures.training(files.steps)),
        Section("examples", "Examples", extra=_paired(evaluation.examples)),
        Section("bad-rows", f"Bad rows: {len(files.ledger):,}", tables=ledger),
        Section("merge", "Merged from", [*merged.members(merge), *merged.stops(merge)], merged.curve(merge)),
        Section("recipe", "Recipe", extra=files.recipe),
        Section("versions", "Versions", tables=tables.versions(files.manifest)),
    ]


def _paired(examples: Sequence[Example]) -> dict[str, list[Example]]:
    pairs: dict[str, list[Example]] = {}
    for example in examples:
        pairs.setdefault(example.pair, []).append(example)
    return pairs
