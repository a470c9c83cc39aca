"""Let in rows of strangers, as JSON and uploads have them; no path and no address in them is ever opened."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fusion.batch import Row
from fusion.data.decode import Text
from fusion.encoder import Form, Processor
from fusion.errors import DataError, unknown

CHARACTERS = 20_000
DEEPEST = 5  # axes of an array
FASTEST = 1e12  # Hz
LONGEST = 100  # characters of a name that are told back
TYPES = (
    *("float32", "float64", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64", "bool"),
)
WRITTEN: Mapping[Form, str] = {
    "text": "a text",
    "bytes": '{"base64": "..."}',
    "array": '{"array": [...]}, with "dtype" and "rate" if need be',
    "record": '{"record": {"column": value, ...}}',
}


class MisshapenError(DataError):
    """A row has not the form that `Gate.schema` tells; any other DataError is about what is in it."""


class Gate:
    """Turns what a stranger gives into rows that processors may be handed.

    A sample is given in one of the forms that the processor of its modality `takes`: a text, up to so many
    `characters`, which is never opened as the path of a file; bytes, or {"base64": ...}; an array, or
    {"array": numbers, "dtype": one of TYPES, "rate": Hz}, of which "float32" is the default, null is NaN, and
    a rate makes a pair (array, rate); {"record": values by the names of columns}.
    """

    def __init__(self, processors: Mapping[str, Processor], characters: int = CHARACTERS) -> None:
        self.takes = {name: processor.takes for name, processor in processors.items()}
        self.characters = characters

    def row(self, given: Any) -> Row:
        """Return a row of samples. Raises DataError that names the modality; MisshapenError for its form."""
        if not isinstance(given, Mapping) or not given:
            raise MisshapenError(f"a row has one or more of {', '.join(self.takes)}, each with a sample")
        row, unread = {}, []
        for name, one in given.items():
            try:
                row[name] = self.sample(name, one)
            except MisshapenError:  # of any of them tells more than what is in another
                raise
            except DataError as error:
                unread.append(error)
        if unread:
            raise unread[0]
        return row

    def sample(self, modality: str, given: Any) -> Any:
        """Return one sample of a modality. Raises as `row` does."""
        if modality not in self.takes:
            raise MisshapenError(unknown("modality", modality[:LONGEST], self.takes))
        try:
            return self._read(self.takes[modality], given)
        except MisshapenError as error:
            raise MisshapenError(f"{modality}: {error}") from error
        except DataError as error:
            raise DataError(f"{modality}: {error}") from error

    def _read(self, takes: Sequence[Form], given: Any) -> Any:
        match given:
            case str() if "text" in takes:
                return self._text(given)
            case bytes() if "bytes" in takes:
                return given
            case {"base64": str(coded), **rest} if "bytes" in takes and not rest:
                return _bytes(coded)
            case np.ndarray() | (np.ndarray(), int() | float()) if "array" in takes:
                return given
            case {"array": list(numbers), **rest} if "array" in takes and rest.keys() <= {"dtype", "rate"}:
                rate = _rate(rest["rate"]) if "rate" in rest else None
                array = _array(numbers, rest.get("dtype", TYPES[0]))
                return array if rate is None else (array, rate)
            case {"record": dict(values), **rest} if "record" in takes and values and not rest:
                return {name: self._value(name, value) for name, value in values.items()}
            case _:
                allowed = " or ".join(WRITTEN[form] for form in takes) or "nothing by strangers"
                raise MisshapenError(f"given as {_named(given)}; expected {allowed}")

    def _text(self, given: str) -> Text:
        if len(given) > self.characters:
            raise MisshapenError(
                f"a text of {len(given):,} characters; at most {self.characters:,} are taken here"
            )
        return Text(given)

    def _value(self, name: str, value: Any) -> Any:
        if value is not None and type(value) not in (str, int, float, bool):
            raise MisshapenError(f"{name!r} is given as {_named(value)}; expected a text, a number, or null")
        return self._text(value) if isinstance(value, str) else value

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a row."""
        forms = self._forms()
        given = {name: [forms[form] for form in takes] for name, takes in self.takes.items() if takes}
        return _object({name: {"anyOf": some} for name, some in given.items()}, minProperties=1)

    def _forms(self) -> Mapping[Form, dict[str, Any]]:
        text = {"type": "string", "maxLength": self.characters}
        plain = {"anyOf": [text, *({"type": kind} for kind in ("number", "boolean", "null"))]}
        numbers: dict[str, Any] = {"type": ["number", "null"]}
        for _ in range(DEEPEST - 1):
            numbers = {"anyOf": [{"type": ["number", "null"]}, {"type": "array", "items": numbers}]}
        array = {
            "array": {"type": "array", "items": numbers},
            "dtype": {"enum": list(TYPES), "default": TYPES[0]},
            "rate": {"type": "number", "exclusiveMinimum": 0, "maximum": FASTEST, "description": "Hz"},
        }
        record = {"type": "object", "additionalProperties": plain, "minProperties": 1}
        return {
            "text": text,
            "bytes": _object(
                {"base64": {"type": "string", "contentEncoding": "base64"}}, required=["base64"]
            ),
            "array": _object(array, required=["array"]),
            "record": _object({"record": record}, required=["record"]),
        }


def _object(properties: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False, **more}


def _bytes(coded: str) -> bytes:
    try:
        return base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"this is no base64: {error}") from error


def _rate(given: Any) -> float:
    if type(given) not in (int, float) or not 0 < given <= FASTEST:
        raise MisshapenError(f"rate is given as {given!r:.100}; expected Hz, above 0 and up to {FASTEST:g}")
    return float(given)


def _array(numbers: list[Any], dtype: Any) -> npt.NDArray[Any]:
    """Return numbers as an array of a type that holds them, up to the rounding of floats; null is NaN."""
    if dtype not in TYPES:
        raise MisshapenError(f"dtype is given as {dtype!r:.100}; expected one of {', '.join(TYPES)}")
    _expect_numbers(numbers)
    try:
        array = np.asarray(numbers)
        if array.dtype.hasobject:  # null, or a whole number beyond 64 bits
            array = np.asarray(numbers, np.float64)
        with np.errstate(all="ignore"):  # what does not fit is looked for below
            found = array.astype(dtype)
    except (TypeError, ValueError, OverflowError) as error:  # rows of different lengths
        raise DataError(f"this is no array: {str(error)[:200]}") from error
    whole = not np.issubdtype(found.dtype, np.floating)
    if not (np.array_equal(found, array) if whole else not np.isinf(found).any()):
        raise DataError(f"numbers that {dtype} does not hold")
    return found


def _expect_numbers(items: list[Any], depth: int = 1) -> None:
    """Raise for anything but numbers: an array of texts would take the room of its longest for each."""
    if depth > DEEPEST:
        raise MisshapenError(f"an array of more than {DEEPEST} axes")
    for item in items:
        if isinstance(item, list):
            _expect_numbers(item, depth + 1)
        elif item is not None and type(item) not in (int, float):
            raise MisshapenError(f"an array of numbers that holds {_named(item)}")


def _named(given: Any) -> str:
    match given:
        case str():
            return "a text"
        case Mapping():
            return f"an object of {', '.join(map(repr, sorted(map(str, given))[:5])) or 'nothing'}"
        case _:
            return {"list": "a list", "NoneType": "null", "bytes": "bytes"}.get(
                type(given).__name__, type(given).__name__
            )
