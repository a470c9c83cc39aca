"""Tell what the rows of sources hold: as tables, and as a page with pictures and sounds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fusion.report import tables
from fusion.report.files import Media
from fusion.report.numbers import count
from fusion.report.tables import Table
from fusion.report.template import template, write

if TYPE_CHECKING:
    from fusion.training.preview import Preview, Shown

CLASSES = 30  # that are listed
UNREAD = 12  # keys of rows that are named


class Line(NamedTuple):
    """One modality of a row, as it is and as training varies it."""

    modality: str
    given: list[Media]
    varied: list[Media]


class Looked(NamedTuple):
    """One row that is shown."""

    number: int
    label: str
    lines: list[Line]


def told(found: Sequence["Preview"], classes: Sequence[str]) -> list[Table]:
    """Return what sources hold as tables; one that would be empty is left out."""
    bad = [row._asdict() for part in found for row in part.bad]
    return [_holds(found), *_classes(found, classes), *([tables.bad_rows(bad)] if bad else [])]


def render(name: str, found: Sequence["Preview"], classes: Sequence[str], path: Path) -> Path:
    """Write the page and return its path."""
    page = template("preview.html").render(
        name=name,
        tables=told(found, classes),
        parts=[(part.source, [_row(row, classes) for row in part.shown]) for part in found],
    )
    return write(path, page)


def _holds(found: Sequence["Preview"]) -> Table:
    held = list(dict.fromkeys(name for part in found for name in (*part.present, *part.targets)))
    rows = [
        [
            part.source,
            "stream" if part.rows is None else count(part.rows),
            count(part.looked_at),
            *(count({**part.targets, **part.present}[name]) for name in held),
            count(len(part.bad)),
        ]
        for part in found
    ]
    note = "How many of the rows that were looked at hold what; the others cannot be read."
    unread = list(dict.fromkeys(key for part in found for key in part.unread))
    if unread:
        note += f" Nothing reads {', '.join(unread[:UNREAD])}{' ...' if len(unread) > UNREAD else ''}."
    return Table("Rows", ["source", "rows", "looked at", *held, "bad"], rows, note)


def _classes(found: Sequence["Preview"], classes: Sequence[str]) -> list[Table]:
    labels = sorted({label for part in found for label in part.labels})
    columns = [part for part in found if part.labels]
    rows = [
        [_named(label, classes), *(count(part.labels.get(label, 0)) for part in columns)]
        for label in labels[:CLASSES]
    ]
    note = f"The first {CLASSES} of {count(len(labels))} classes." if len(labels) > CLASSES else ""
    caption = "Classes of the rows that were looked at"
    return [Table(caption, ["class", *(part.source for part in columns)], rows, note)] if rows else []


def _row(shown: "Shown", classes: Sequence[str]) -> Looked:
    lines = [
        Line(name, _media(given), _media(shown.varied.get(name, []))) for name, given in shown.given.items()
    ]
    return Looked(shown.row, "" if shown.label is None else _named(shown.label, classes), lines)


def _media(described: Sequence[Mapping[str, object]]) -> list[Media]:
    return [Media.model_validate(one) for one in described]


def _named(label: int, classes: Sequence[str]) -> str:
    return classes[label] if 0 <= label < len(classes) else str(label)
