"""Show what a run was before it was made smaller, and what it is now."""

from collections.abc import Mapping
from typing import Any

from fusion.report.numbers import NOTHING, is_share, points, written
from fusion.report.scores import finite
from fusion.report.tables import Mark, Marked, Table

VERDICT = {True: "kept", False: "worse", None: ""}
CHANGED = ("file/bytes", "one row/p50 ms", "one row/p95 ms", "64 rows/rows a second")


def compared(record: Mapping[str, Any]) -> list[Table]:
    """Return one table of all that was compared; nothing for a run that was not made of another."""
    if not record:
        return []
    lines = record["lines"]
    rows = [
        [
            line["key"].replace("->", " → "),
            _figure(line["key"], line["before"]),
            _figure(line["key"], line["after"]),
            _change(line["key"], line["before"], line["after"]),
            Marked(VERDICT[False], Mark.WORSE) if line["kept"] is False else VERDICT[line["kept"]],
        ]
        for line in lines
    ]
    steps = [_named(one) for one in record["by"]]
    trained = f" after {record['trained']:,} steps of training" if record["trained"] else ""
    note = (
        f"{', '.join(steps) or 'A student'}{trained}. The gate asks that no metric is worse by more than "
        f"{record['max_drop']:g}. Speed is that of both in turns, from raw rows to answers, on "
        f"{record['device']} with {record['threads']} threads."
    )
    columns = ["measured", "before", "after", "change", "verdict"]
    return [Table(f"Made of {record['run']}", columns, rows, note)]


def _named(one: Mapping[str, Any]) -> str:
    options = ", ".join(f"{key} {value}" for key, value in one["options"].items())
    return f"{one['name']} ({options})" if options else str(one["name"])


def _figure(key: str, value: Any) -> str:
    if key == "file/zeros" and finite(value):
        return f"{100 * value:.1f} %"
    return written(key, round(value) if key == "file/bytes" else value)


def _change(key: str, before: Any, after: Any) -> str:
    if not (finite(before) and finite(after)):
        return NOTHING
    if key in CHANGED and before:
        return f"x {after / before:.3g}"
    if key == "file/zeros" or is_share(key):
        return f"{points(after - before)} points"
    return written("", float(after - before))
