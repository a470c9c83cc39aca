"""Tell what a search found, as a page with pictures, sounds and texts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fusion.data.draw import choices
from fusion.report.files import Media
from fusion.report.media import shown
from fusion.report.numbers import count
from fusion.report.template import template, write

if TYPE_CHECKING:
    from fusion.encoder import Processor
    from fusion.search.index import Hit

ROOM = 24 * 2**20
"""Characters of pictures and sounds that a page holds; what is found beyond them is told in words."""


class Seen(NamedTuple):
    """A row that was found, with what it holds of the modalities that are shown."""

    title: str
    note: str
    media: Sequence[tuple[str, Media]]


def render(
    name: str,
    query: Mapping[str, Any],
    found: Sequence[tuple["Hit", Mapping[str, Any]]],
    processors: Mapping[str, "Processor"],
    path: Path,
) -> Path:
    """Write the page of hits, the nearest first, each with its row of the source; return its path.

    A hit is shown by the modality that it was found by, and one of fused vectors by all of them.
    """
    asked = [
        (modality, Media.model_validate(shown(processors[modality], raw))) for modality, raw in query.items()
    ]
    room = ROOM - sum(map(_size, (media for _, media in asked)))
    rows = seen(found, processors, room)
    return write(path, template("found.html").render(name=name, asked=asked, found=rows))


def seen(
    found: Sequence[tuple["Hit", Mapping[str, Any]]], processors: Mapping[str, "Processor"], room: int = ROOM
) -> list[Seen]:
    """Return hits with what is shown of their rows, as far as there is `room` for it, in characters."""
    rows = []
    for number, (hit, row) in enumerate(found, 1):
        kinds = [hit.modality] if hit.modality in processors else list(processors)
        media = [
            (modality, _media(processors, modality, some[0]))
            for modality, some in choices(row, kinds).items()
        ]
        room -= sum(_size(one) for _, one in media)
        note = f"{hit.source}, row {count(hit.row)}; cosine {hit.score:.3f}"
        title = f"{number}. {hit.label}" if hit.label else f"{number}."
        rows.append(Seen(title, note, media if room >= 0 else []))
    return rows


def _media(processors: Mapping[str, "Processor"], modality: str, raw: Any) -> Media:
    return Media.model_validate(shown(processors[modality], raw))


def _size(media: Media) -> int:
    return len(media.data) if isinstance(media.data, str) else 0
