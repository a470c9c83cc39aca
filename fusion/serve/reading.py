"""Read the rows of an HTTP request within its limits: JSON with many of them, or a form with one."""

import json
from collections.abc import Callable
from typing import Any

import python_multipart  # noqa: F401  # by which starlette reads forms
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from fusion.batch import Row
from fusion.errors import DataError
from fusion.gate import Gate, MisshapenError
from fusion.serve.limits import Limits

JSON, FORM = "application/json", "multipart/form-data"


async def rows(request: Request, gate: Gate, limits: Limits) -> list[Row | DataError]:
    """Return the rows of a request; the DataError in the place of one is why it cannot be read.

    Raises HTTPException: 413 for a body that is too large, 415 for another type, 400 for what is no JSON
    or no form; and RequestValidationError, 422, for what has not the form that OpenAPI tells.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (JSON, FORM):
        raise HTTPException(415, f"Content-Type is {kind or 'missing'!r:.100}; send {JSON} or {FORM}")
    body = await _body(request, limits.body)
    if kind == FORM:
        return [_row(await _form(request, body, gate), gate, ("body",))]
    content = _parsed(body)
    if not isinstance(content, dict) or content.keys() != {"rows"} or not isinstance(content["rows"], list):
        raise invalid(("body",), 'expected {"rows": [...]}, and nothing else')
    if not 1 <= len(content["rows"]) <= limits.rows:
        raise invalid(("body", "rows"), f"{len(content['rows'])} rows; 1 to {limits.rows} are taken at once")
    return _each(content["rows"], lambda number, row: _row(row, gate, ("body", "rows", number)))


def invalid(place: tuple[str | int, ...], message: str) -> RequestValidationError:
    """Return the error for one thing in a request that has a wrong form."""
    return RequestValidationError([{"loc": place, "msg": message, "type": "misshapen"}])


def _each(given: list[Any], read: Callable[[int, Any], Row | DataError]) -> list[Row | DataError]:
    """Read every row, and tell of all that have a wrong form at once."""
    found: list[Row | DataError] = []
    problems: list[Any] = []
    for number, row in enumerate(given):
        try:
            found.append(read(number, row))
        except RequestValidationError as error:
            problems += error.errors()
    if problems:
        raise RequestValidationError(problems)
    return found


def _row(given: Any, gate: Gate, place: tuple[str | int, ...]) -> Row | DataError:
    try:
        return gate.row(given)
    except MisshapenError as error:
        raise invalid(place, str(error)) from error
    except DataError as error:
        return error


async def _body(request: Request, most: int) -> bytes:
    said = request.headers.get("content-length", "")
    body = bytearray()
    if not said.isdecimal() or int(said) <= most:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                break
        else:
            return bytes(body)
    raise HTTPException(413, f"the body has more than {most:,} bytes; send fewer rows, or smaller samples")


def _parsed(body: bytes) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no number of JSON")

    try:
        return json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from error


async def _form(request: Request, body: bytes, gate: Gate) -> dict[str, Any]:
    """Return the fields of a form: bytes of its files, and texts."""

    async def again() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    most = len(gate.takes) + 1  # with one more than can be, to tell that it is too many
    read = Request(request.scope, again)
    async with read.form(max_files=most, max_fields=most, max_part_size=len(body) + 1) as form:
        parts = form.multi_items()
        if len(dict(parts)) < len(parts):
            raise invalid(("body",), "a field is given twice; a form has one row, JSON many")
        return {name: await part.read() if isinstance(part, UploadFile) else part for name, part in parts}
