"""The transfer matrix: a measure of every version on every evaluation source."""

from collections.abc import Mapping

from fusion.report.numbers import lower_is_better
from fusion.report.tables import Mark, Marked, Table
from fusion.studies import words
from fusion.studies.compare import Comparison, Spread, spread


def matrix(found: Comparison) -> dict[str, dict[str, Spread]]:
    """Return the deciding measure by version and evaluation source; empty below two of either.

    Versions that others start from are rows as well: they were trained on the other sources.
    """
    measure = plain(found.deciding)
    cells: dict[str, dict[str, Spread]] = {}
    for name, group in found.groups.items():
        metrics = {seed: run.metrics for seed, run in group.runs.items()}
        keys = dict.fromkeys(key for of in metrics.values() for key in of)
        ends = [key for key in keys if key.startswith("source/") and plain(key) == measure]
        row = {key.split("/")[1]: spread(metrics, key) for key in ends}
        if any(value.by_seed for value in row.values()):
            cells[name] = {source: value for source, value in row.items() if value.by_seed}
    sources = {source for row in cells.values() for source in row}
    return cells if len(cells) > 1 and len(sources) > 1 else {}


def plain(measure: str) -> str:
    """Return a measure without the source that it is of."""
    return measure.split("/", 2)[2] if measure.startswith("source/") else measure


def columns(cells: Mapping[str, Mapping[str, Spread]]) -> list[str]:
    return list(dict.fromkeys(source for row in cells.values() for source in row))


def table(found: Comparison) -> list[Table]:
    """Return the matrix, the best of each column bold."""
    cells = matrix(found)
    measure = plain(found.deciding)
    pick = min if lower_is_better(measure) else max
    best = {
        source: pick((row[source].mean, name) for name, row in cells.items() if source in row)[1]
        for source in columns(cells)
    }
    rows = []
    for name, row in cells.items():
        texts = [words.spread(measure, row.get(source)) for source in best]
        marks = zip(best.items(), texts, strict=True)
        rows.append([name, *(Marked(text, Mark.BEST) if at == name else text for (_, at), text in marks)])
    note = f"{measure} of each version (down) on each evaluation source (across). Bold: the best of a column."
    return [Table("Transfer matrix", ["trained as", *best], rows, note)] if cells else []
