"""Tables that somebody adds to the report of a run, such as a script that does more than one training."""

import json
from collections.abc import Sequence
from pathlib import Path

from fusion.report.files import NOTES
from fusion.report.page import render
from fusion.report.tables import Table
from fusion.run import Run


def note(run: Run | str | Path, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    """Add a table to the report of a finished run and return the report; one of the same title is replaced.

    The first column holds names. Raises RunError for a folder that is no finished run, and ValueError for a
    row with another number of cells than there are columns.
    """
    run = run if isinstance(run, Run) else Run(run)
    cells = [[str(cell) for cell in row] for row in rows]
    for row in cells:
        if len(row) != len(columns):
            raise ValueError(f"{title}: {row} has {len(row)} cells, there are {len(columns)} columns")
    path = run.folder / NOTES
    tables = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    run.write_json(NOTES, {**tables, title: Table(title, list(columns), cells)._asdict()})
    return render(run.folder)
