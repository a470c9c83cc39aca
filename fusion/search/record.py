"""What an index says of itself: what it was made of and by which weights, and its files."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from fusion.errors import RunError, unknown
from fusion.files import fsync, json_bytes, parse_json, sha256
from fusion.manifest import CHANGED, fault
from fusion.recipe.picks import SourcePick
from fusion.run import Run
from fusion.search.rows import Rows

FOLDER, RECORD = "index", "index.json"
FUSED = "fused"
Kind = Literal["exact", "int8", "ivf", "hnsw"]
Asked = Kind | Literal["auto"]
Count = Annotated[int, Field(ge=0)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
NAME = r"^[\w-][\w.-]*$"
"""What a source, and so an index, can be called."""
Spans = Annotated[str, AfterValidator(lambda text: str(Rows.read(text)))]
"""Rows as text, such as 3,10-12."""


class _Exactly(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Held(_Exactly):
    """A modality: how many vectors it has, and how they are searched, by what is `kept` beside them."""

    vectors: Count
    kind: Kind
    effort: Annotated[int, Field(ge=1)]
    recall: float  # of the nearest 10 with this effort, as it was measured on vectors of the index
    kept: Digest | None


class Written(_Exactly):
    """What one update wrote: the vectors of each modality, and which rows the index has from there."""

    rows: Spans
    files: dict[str, Digest]

    @model_validator(mode="after")
    def _expect_fused(self) -> "Written":
        if FUSED not in self.files:
            raise ValueError(f"of each row that is there is {FUSED!r}, of which there is no file")
        return self


class Record(_Exactly):
    """An index. `rows` are those of the source when it was last looked at; `left_out` are never taken."""

    weights: str
    source: Annotated[str, Field(pattern=NAME)]
    options: SourcePick
    target: str
    classes: list[str]
    width: Annotated[int, Field(ge=1)]
    rows: Count
    left_out: Spans
    kind: Asked
    written: list[Written]
    modalities: dict[str, Held]

    @property
    def digests(self) -> list[str]:
        """The SHA-256 of each file."""
        vectors = [digest for one in self.written for digest in one.files.values()]
        return [*vectors, *(held.kept for held in self.modalities.values() if held.kept)]


def file_of(digest: str) -> str:
    return f"{digest[:16]}.safetensors"


def folder(run: Run, name: str) -> Path:
    return run.folder / FOLDER / name


def names(run: Run) -> list[str]:
    """Return the names of the indexes of a run, sorted."""
    return sorted(path.parent.name for path in (run.folder / FOLDER).glob(f"*/{RECORD}"))


def choose(run: Run, name: str | None) -> str:
    """Return the name of the index that is meant. Raises RunError."""
    known = names(run)
    if name is not None and name not in known:
        raise RunError(f"{run.folder}: {unknown('index', name, known)}; `fusion index` makes one")
    if not known:
        raise RunError(f"{run.folder} has no index; make one: fusion index {run.folder} --source NAME")
    if name is None and len(known) > 1:
        raise RunError(f"{run.folder} has several indexes; choose one: {', '.join(known)}")
    return name or known[0]


def read(place: Path) -> Record:
    """Return what the index in a folder says of itself. Raises RunError."""
    path = place / RECORD
    try:
        return Record.model_validate(parse_json(path.read_bytes()))
    except ValidationError as error:
        first = error.errors()[0]
        told = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (OSError, ValueError) as error:
        told = str(error)
    raise RunError(f"{path} is damaged: {told}; delete {place}, and `fusion index` the source again")


def write(place: Path, record: Record) -> None:
    """Replace what an index says of itself, in one step that is on the disk."""
    stage = place / f".{RECORD}.partial"
    stage.write_bytes(json_bytes(record.model_dump(mode="json")))
    fsync(stage)
    stage.replace(place / RECORD)
    fsync(place)


def faults(run: Run) -> dict[str, str]:
    """Return what is wrong with each file of the indexes of a run, "" if nothing is, by its path there."""
    found: dict[str, str] = {}
    for name in names(run):
        place = folder(run, name)
        path = f"{FOLDER}/{name}"
        try:
            record = read(place)
        except RunError:
            found[f"{path}/{RECORD}"] = CHANGED
            continue
        found[f"{path}/{RECORD}"] = ""
        for digest in record.digests:
            found[f"{path}/{file_of(digest)}"] = fault(place / file_of(digest), digest)
    return found


def expect_whole(place: Path, digest: str) -> Path:
    """Return the file of this SHA-256. Raises RunError where it is missing or another."""
    path = place / file_of(digest)
    try:
        if sha256(path) == digest:
            return path
        told = CHANGED
    except OSError as error:
        told = str(error.strerror)
    raise RunError(f"{path} {told}; delete {place}, and `fusion index` the source again")
