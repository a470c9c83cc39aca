"""What OpenAPI tells of requests and answers."""

from typing import Any

from pydantic import BaseModel

from fusion.gate import Gate
from fusion.serve.limits import Limits
from fusion.serve.reading import FORM, JSON


class Unread(BaseModel):
    """A row that could not be answered, and why; the others are not concerned."""

    error: str


class Encoded(BaseModel):
    """The vectors of a row, of unit length, in the order of the run's width."""

    present: list[str]
    vectors: dict[str, list[float]]
    fused: list[float]


class Answer(BaseModel):
    """What a task answers: `label` is the name of the class, where the recipe has one."""

    value: Any
    label: str | None
    score: Any
    temperature: float


class Answered(BaseModel):
    """The answers for a row, by the name of the task."""

    present: list[str]
    answers: dict[str, Answer]


class Hit(BaseModel):
    """A row of the index's source, found by the vector of a modality; `score` is the cosine."""

    score: float
    modality: str
    row: int
    source: str
    label: str | None


class Searched(BaseModel):
    """What lies nearest to a row, the nearest first."""

    present: list[str]
    hits: list[Hit]


class EncodedRows(BaseModel):
    """A row for each that was sent, in their order."""

    rows: list[Encoded | Unread]


class AnsweredRows(BaseModel):
    """A row for each that was sent, in their order."""

    rows: list[Answered | Unread]


class SearchedRows(BaseModel):
    """A row for each that was sent, in their order."""

    rows: list[Searched | Unread]


class Health(BaseModel):
    """Whether rows are answered, and by which run."""

    status: str
    run: str
    weights: str | None
    device: str
    takes: dict[str, list[str]]
    tasks: list[str]
    within: list[str]
    waiting: int


class Failure(BaseModel):
    """Why there is no answer."""

    detail: str


class Problem(BaseModel):
    """What has a wrong form, and where."""

    loc: list[str | int]
    msg: str
    type: str


class Problems(BaseModel):
    """All that has a wrong form."""

    detail: list[Problem]


FAILURES: dict[int | str, dict[str, Any]] = {
    400: {"model": Failure, "description": "The body is no JSON, or no form"},
    408: {"model": Failure, "description": "The body came too slowly"},
    413: {"model": Failure, "description": "The body is too large"},
    415: {"model": Failure, "description": "The body is neither JSON nor a form"},
    421: {"model": Failure, "description": "The server is not called by this name"},
    422: {"model": Problems, "description": "The request has not the form that is told here"},
    429: {
        "model": Failure,
        "description": "Too much waits",
        "headers": {"Retry-After": {"schema": {"type": "integer", "minimum": 1}, "description": "Seconds"}},
    },
    503: {"model": Failure, "description": "The server is stopping"},
    504: {"model": Failure, "description": "There was no answer in time"},
}

MISSING: dict[int | str, dict[str, Any]] = {
    404: {"model": Failure, "description": "The run has nothing to answer this by"}
}


def body(gate: Gate, limits: Limits) -> dict[str, Any]:
    """Return what OpenAPI tells of the body of a request."""
    row = gate.schema()
    many = {
        "type": "object",
        "properties": {
            "rows": {"type": "array", "items": row, "minItems": 1, "maxItems": limits.rows},
        },
        "required": ["rows"],
        "additionalProperties": False,
    }
    fields: dict[str, Any] = {}
    for name, takes in gate.takes.items():
        if "bytes" in takes:
            fields[name] = {"type": "string", "contentMediaType": "application/octet-stream"}
        elif "text" in takes:
            fields[name] = {"type": "string", "maxLength": limits.characters}
    one = {"type": "object", "properties": fields, "minProperties": 1, "additionalProperties": False}
    content = {JSON: {"schema": many}} | ({FORM: {"schema": one}} if fields else {})
    return {"requestBody": {"required": True, "content": content}}
