"""Print tables and records: for eyes on a terminal, plain lines in a pipe, JSON when asked."""

import json
import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fusion.errors import DataError
from fusion.registry import Registry

if TYPE_CHECKING:
    from fusion.report.tables import Table
    from fusion.studies.page import Findings
    from fusion.studies.tuned import Tuned

STYLES = {"": "", "worse": "red", "best": "bold"}

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
registry_argument = click.make_pass_decorator(Registry)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """Print a table: with rules on a terminal, in plain aligned columns elsewhere."""
    cells = [[cell if isinstance(cell, str) else str(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        drawn = Table(
            *columns, title=title or None, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
        )
        for row in cells:
            drawn.add_row(*(Text(cell, STYLES[_mark(cell)]) for cell in row))
        Console().print(drawn)
        return
    if title:
        click.echo(title)
    lines = [list(columns), *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    click.echo()


def _mark(cell: str) -> str:
    from fusion.report.tables import Marked

    return str(cell.mark) if isinstance(cell, Marked) else ""


def print_json(content: Any) -> None:
    """Print JSON; NaN and infinity, which JSON does not have, become null."""
    click.echo(json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False, default=str))


def _finite(content: Any) -> Any:
    match content:
        case dict():
            return {key: _finite(value) for key, value in content.items()}
        case list() | tuple():
            return [_finite(value) for value in content]
        case float() if not math.isfinite(content):
            return None
        case _:
            return content


def warn(message: str) -> None:
    """Say something that is not the answer, once for all ranks."""
    if os.environ.get("RANK", "0") == "0":
        click.echo(f"warning: {message}", err=True)


def metrics(content: dict[str, Any]) -> None:
    """Print the result tables of a run's metrics; `fusion check` tells the parameters."""
    from fusion.report.scores import sort
    from fusion.report.tables import results
    from fusion.report.trust import tables as trust

    told = sort({key: value for key, value in content.items() if not key.startswith("parameters/")})
    tables([*results(told), *trust(told.subsets, told.rest)])


def tables(parts: "Iterable[Table]") -> None:
    """Print tables of a report.

    On a terminal that is too narrow for all columns of numbers, the last ones are left to the report.
    """
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else math.inf
    for part in parts:
        kept = _fitting([part.columns, *part.rows], room)
        hidden = part.columns[kept:]
        caption = part.caption + (f" (without {', '.join(hidden)}: the terminal is narrow)" if hidden else "")
        table(part.columns[:kept], [row[:kept] for row in part.rows], caption)


@contextmanager
def written(page: Path) -> Iterator[None]:
    """Raise DataError where the page that is asked for cannot be written."""
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot write {page}: {error}") from error


def findings(found: "Findings | Tuned", page: Path, as_json: bool) -> None:
    """Print what a comparison shows, what has to be known to read it, and where its page is."""
    if as_json:
        print_json(found.record())
        return
    tables(found.tables())
    for note in found.notes():
        click.echo(click.style(note, fg=STYLES[_mark(note)] or None))
    click.echo(f"page    {page}")


def _fitting(lines: Sequence[Sequence[str]], room: float) -> int:
    """Return how many columns fit, at least two."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    fitting = [sum(widths[:count]) + 2 * count <= room for count in range(1, len(widths) + 1)]
    return max(2, sum(fitting))
