"""Tell what the answers for a row rest on: as tables, and as a page with pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fusion.report.charts import Bar, bars
from fusion.report.figures import Chart
from fusion.report.files import Media
from fusion.report.headline import Figure
from fusion.report.media import shown
from fusion.report.numbers import NOTHING, count, plain
from fusion.report.overlay import AGAINST, FOR, overlay, scaled
from fusion.report.tables import Table
from fusion.report.template import template, write

if TYPE_CHECKING:
    from fusion.encoder import Processor
    from fusion.explain.attribution import Attribution
    from fusion.explain.contributions import Contributions
    from fusion.explain.explain import Explanation

NO_EFFECT = (
    "A share is what the fuser takes of a modality. It is no effect: what is much attended to may change "
)
NO_EFFECT += "nothing (Jain and Wallace 2019)."


class Piece(NamedTuple):
    """A token, its colour, and what a pointer over it reads."""

    text: str
    colour: str
    title: str


class Divided(NamedTuple):
    """A modality of the row for one task: two pictures, or tokens, and a sentence."""

    title: str
    pictures: Sequence[str]
    pieces: Sequence[Piece]
    note: str


class Shown(NamedTuple):
    """A modality of the row: what it is, what an answer makes of it, and the rows that lie nearest."""

    modality: str
    media: Media
    divided: Sequence[Divided]
    refused: str
    near: Sequence[tuple[Media, str]]


def told(explanation: "Explanation", answers: Mapping[str, str]) -> list[Table]:
    """Return contributions, a table a task, and the nearest rows; `answers` are those of tasks in words."""
    tables = [
        _contributions(f"{name}: {answers[name]}", found, explanation.shares)
        for name, found in explanation.contributions.items()
    ]
    rows = [
        [name, near.source, count(near.row), f"{near.similarity:.4f}", count(near.rows)]
        for name, some in explanation.nearest.items()
        for near in some
    ]
    note = "By the cosine in the shared space; rows with the same vector are told once, by the first."
    columns = ["modality", "source", "row", "cosine", "rows alike"]
    return [*tables, *([Table("Nearest rows", columns, rows, note, 2)] if rows else [])]


def render(
    name: str,
    row: Mapping[str, Any],
    explanation: "Explanation",
    answers: Mapping[str, str],
    processors: Mapping[str, "Processor"],
    path: Path,
) -> Path:
    """Write the page of an explained row and return its path."""
    charts = [
        contributed(task, found)
        for task, found in explanation.contributions.items()
        if found.nothing.numel() == 1
    ]
    page = template("explained.html").render(
        name=name,
        headline=[Figure(answer, task, "") for task, answer in answers.items()],
        charts=charts,
        tables=told(explanation._replace(nearest={}), answers),
        shown=[
            _shown(modality, row[modality], explanation, answers, processors[modality])
            for modality in _modalities(explanation)
        ],
    )
    return write(path, page)


def _modalities(explanation: "Explanation") -> list[str]:
    return list(next(iter(explanation.contributions.values())).parts)


def _contributions(caption: str, found: "Contributions", shares: Mapping[str, float]) -> Table:
    rows = [["nothing", _numbers(found.nothing), NOTHING]]
    rows += [[name, _numbers(part, "+"), _share(shares, name)] for name, part in found.parts.items()]
    rows += [["all", _numbers(found.full), NOTHING]]
    note = "Shapley values: they add up from the answer with nothing shown to the one with all that is given."
    if not shares:
        return Table(caption, ["shown", "contribution"], [row[:2] for row in rows], note)
    return Table(caption, ["shown", "contribution", "share"], rows, f"{note} {NO_EFFECT}")


def _numbers(values: Any, sign: str = "") -> str:
    return ", ".join(f"{value:{sign}.4f}" for value in values.flatten().tolist())


def _share(shares: Mapping[str, float], name: str) -> str:
    return f"{shares[name]:.4f}" if name in shares else NOTHING


def contributed(task: str, found: "Contributions") -> Chart:
    """Return what each modality adds to the score of a task's answer, which is one number."""
    parts = {"nothing": found.nothing, **found.parts, "all": found.full}
    drawing = bars(
        [Bar(name, part.item()) for name, part in parts.items()],
        label=f"contributions to {task}",
        write=lambda value: f"{value:.3f}",
        names=("score", ""),
    )
    note = (
        "The score of the answer with nothing shown, what each modality adds to it or takes from it, and the "
    )
    return Chart(task, drawing, f"{note}score with all.")


def _shown(
    name: str, raw: Any, explanation: "Explanation", answers: Mapping[str, str], processor: "Processor"
) -> Shown:
    media = Media.model_validate(shown(processor, raw))
    divided = [
        _divided(f"What speaks for {task}: {answers[task]}", name, parts[name], media.kind == "audio")
        for task, parts in explanation.attributions.items()
        if name in parts
    ]
    near = [
        (
            Media.model_validate(shown(processor, one.sample)),
            f"{one.source}, row {count(one.row)}; cosine {one.similarity:.3f}"
            + (f"; {count(one.rows)} rows alike" if one.rows > 1 else ""),
        )
        for one in explanation.nearest.get(name, [])
    ]
    return Shown(name, media, divided, explanation.unattributed.get(name, ""), near)


def _divided(title: str, name: str, found: "Attribution", sound: bool) -> Divided:
    note = (
        f"Red speaks for the answer, blue against it, with {name} alone shown. The score is "
        f"{plain(found.difference)} above that of a blank; the parts add up to it, but for {found.error:.1g}."
    )
    if not found.whole:
        note += " That is much: along the way from the blank the score jumps, and the parts tell little."
    values = found.values.numpy()
    if found.given.numel():
        return Divided(title, overlay(found.given.numpy(), values, sound), [], note)
    if not found.pieces:
        note += " The encoder does not tell what its tokens stand for: they are numbered."
    pieces = found.pieces or [f"{number} " for number in range(1, len(values) + 1)]
    shades = scaled(values)
    return Divided(title, [], [_piece(*parts) for parts in zip(pieces, values, shades, strict=False)], note)


def _piece(text: str, value: np.floating[Any], shade: np.floating[Any]) -> Piece:
    red, green, blue = FOR if shade > 0 else AGAINST
    return Piece(text, f"rgb({red:g} {green:g} {blue:g} / {abs(shade) * 0.65:.3f})", f"{value:+.4f}")
