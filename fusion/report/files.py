"""Read what a run folder holds for its report; everything but `metrics.json` may be missing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ValidationError

from fusion.errors import RunError
from fusion.files import parse_json
from fusion.report.stress import FILE, Record
from fusion.report.tables import Table

COMPARISON = "comparison.json"
"""What a run was compared with that was made smaller than another."""

NOTES = "notes.json"
"""Tables that were added to the report, by their titles."""

Label = int | str | None
Model = TypeVar("Model", bound=BaseModel)


class Media(BaseModel):
    """One sample to look at or to listen to, as `fusion.report.media.describe` wrote it."""

    kind: Literal["image", "audio", "text", "series", "other"]
    data: str | list[list[float | None]]


class Result(BaseModel):
    """One row that a query found."""

    media: Media
    score: float
    label: Label = None


class Example(BaseModel):
    """One query and what it found, best first; `pair` is `query->gallery`."""

    pair: str
    query: Media
    results: list[Result]
    label: Label = None


class Coordinates(BaseModel):
    """Where the rows of one modality lie in a plane."""

    x: list[float | None]
    y: list[float | None]
    label: list[Label]


class Trust(BaseModel):
    """How far probabilities can be trusted: bins of rows, confidence and accuracy; the risk at coverages."""

    bins: list[tuple[float, float, float]] = []
    risk: list[tuple[float, float]] = []


class Looks(BaseModel):
    """How foreign rows look: by source, the shares of its rows in bars of equal width.

    The source "" stands for what was measured.
    """

    low: float
    high: float
    shares: dict[str, list[float]]


class Contributed(BaseModel):
    """How much modalities add to what a task answers, by class, number or flag, and of how many rows."""

    classes: bool
    mean: dict[str, list[float | None]]
    rows: dict[str, list[int]]


class Evaluation(BaseModel):
    """What `evaluation.json` holds beside the numbers; a label is a class's name or its index."""

    classes: list[Annotated[str, BeforeValidator(str)]] = []
    modalities: list[str] = []
    confusion: dict[str, list[list[int]]] = {}
    contributions: dict[str, Contributed] = {}
    map: dict[str, Coordinates] = {}
    calibration: dict[str, dict[str, Trust]] = {}  # by "subset/task" and kind
    foreign: dict[str, Looks] = {}  # by "subset/way" or "subset/task/way"
    examples: list[Example] = []

    def named(self, label: Label) -> str:
        """Return the name of a label's class."""
        if isinstance(label, int) and 0 <= label < len(self.classes):
            return self.classes[label]
        return "" if label is None else str(label)


@dataclass(frozen=True)
class RunFiles:
    """The files of one run folder, parsed."""

    name: str
    metrics: dict[str, Any]
    steps: list[dict[str, Any]]
    evaluation: Evaluation
    recipe: str
    manifest: dict[str, Any]
    ledger: list[dict[str, Any]]
    comparison: dict[str, Any]
    notes: list[Table]
    stresses: list[Record]


def read(folder: Path) -> RunFiles:
    """Read a run folder. Raises RunError where `metrics.json` is missing or a file is damaged."""
    if not (folder / "metrics.json").is_file():
        raise RunError(f"{folder}: no metrics.json to report on; give the folder of a run that has ended")
    recipe = folder / "recipe.yaml"
    return RunFiles(
        name=folder.resolve().name,
        metrics=_object(folder / "metrics.json"),
        steps=_lines(folder / "metrics.jsonl"),
        evaluation=_valid(Evaluation, folder / "evaluation.json"),
        recipe=recipe.read_text(encoding="utf-8", errors="replace") if recipe.is_file() else "",
        manifest=_object(folder / "manifest.json"),
        ledger=_lines(folder / "ledger.jsonl"),
        comparison=_object(folder / COMPARISON),
        notes=[Table(**table) for table in _object(folder / NOTES).values()],
        stresses=[_valid(Record, path) for path in sorted(folder.glob(FILE.format("*")))],
    )


def _valid(kind: type[Model], path: Path) -> Model:
    try:
        return kind.model_validate(_object(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RunError(f"{path}: {place}: {first['msg']}; evaluate the run again") from error


def _object(path: Path) -> dict[str, Any]:
    return _parse(_text(path), str(path)) if path.is_file() else {}


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    lines = _text(path).split("\n")
    last = lines.pop()  # without its newline a killed run left it half written; with it, it is empty
    found = [_parse(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    try:
        return [*found, _parse(last, str(path))] if last.strip() else found
    except RunError:
        return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RunError(f"{path} is no text: {error}; evaluate the run again") from error


def _parse(text: str, place: str) -> dict[str, Any]:
    try:
        value = parse_json(text)
    except ValueError as error:
        raise RunError(f"{place}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RunError(f"{place}: a JSON object expected, not {type(value).__name__}")
    return value
