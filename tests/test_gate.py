"""What strangers give becomes samples, and never the path of a file."""

import base64
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from fusion import DataError, Processor, decode
from fusion.encoder import Form
from fusion.gate import TYPES, Gate, MisshapenError


class Anything(Processor):
    """Reads whatever it is given, files among it, as a careless plugin may."""

    def __init__(self, *takes: Form) -> None:
        self.takes = takes  # type: ignore[misc]

    def decode(self, raw: Any) -> Any:
        return Path(raw).read_text() if isinstance(raw, str) else raw


class Silent(Anything):
    """Says nothing of what it takes."""

    takes: ClassVar[tuple[Form, ...]] = Processor.takes

    def __init__(self) -> None: ...


GATE = Gate(
    {
        "smell": Silent(),
        "words": Anything("text"),
        "trace": Anything("array"),
        "record": Anything("record"),
        "either": Anything("text", "bytes"),
        "shut": Anything(),
    },
    characters=10,
)


def coded(content: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(content).decode()}


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("words", "no/path", "no/path"),
        ("smell", coded(b"\x00\xff"), b"\x00\xff"),
        ("smell", b"uploaded", b"uploaded"),
        ("either", coded(b"x"), b"x"),
        ("either", "x", "x"),
        ("record", {"record": {"age": 3, "name": "a", "sold": True, "none": None}}, None),
    ],
)
def test_each_form_is_what_it_says(name: str, given: Any, expected: Any) -> None:
    found = GATE.row({name: given})[name]
    assert found == (given["record"] if expected is None else expected)
    assert type(found) is {str: decode.Text}.get(type(found), type(found))  # a text is one that stays one


def test_texts_of_a_record_stay_texts() -> None:
    [found] = GATE.row({"record": {"record": {"name": "/etc/hosts"}}})["record"].values()
    assert type(found) is decode.Text


@pytest.mark.parametrize("name", ["smell", "trace", "record", "shut"])
@pytest.mark.parametrize("given", ["/etc/passwd", "http://127.0.0.1/", "file:///etc/passwd", "", "x.png"])
def test_no_text_reaches_what_may_open_it(name: str, given: str) -> None:
    with pytest.raises(MisshapenError, match=f"^{name}: given as a text; expected "):
        GATE.row({name: given})


@pytest.mark.parametrize(
    "values", [{"path": "/etc/passwd"}, {"url": "http://127.0.0.1/"}, {"base64": ["/"]}, {}]
)
@pytest.mark.parametrize("name", ["smell", "words", "trace", "record", "either", "shut"])
def test_no_other_object_is_a_sample(name: str, values: dict[str, Any]) -> None:
    with pytest.raises(MisshapenError, match=f"^{name}: given as an object of "):
        GATE.row({name: values})


def test_numbers_become_an_array_of_their_type_and_may_have_a_rate() -> None:
    found = GATE.sample("trace", {"array": [[1, 2.5], [3, 4]]})
    assert (found.dtype, found.tolist()) == (np.float32, [[1.0, 2.5], [3.0, 4.0]])
    for name in TYPES:
        found = GATE.sample("trace", {"array": [0, 1], "dtype": name})
        assert (found.dtype, found.tolist()) == (np.dtype(name), [0, 1])
    wave, rate = GATE.sample("trace", {"array": [0.5], "rate": 8000})
    assert (wave.tolist(), rate) == ([0.5], 8000.0)
    assert GATE.sample("trace", {"array": [2**53 + 1], "dtype": "int64"}).tolist() == [2**53 + 1]
    found = GATE.sample("trace", {"array": [[1, None], [None, 2**70]]})
    np.testing.assert_array_equal(found, np.array([[1, np.nan], [np.nan, 2**70]], np.float32))
    given = np.ones(3)
    assert GATE.sample("trace", given) is given
    assert GATE.sample("trace", (given, 8000))[0] is given


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"array": [256], "dtype": "uint8"}, "numbers that uint8 does not hold"),
        ({"array": [0.5], "dtype": "uint8"}, "numbers that uint8 does not hold"),
        ({"array": [-1], "dtype": "uint64"}, "numbers that uint64 does not hold"),
        ({"array": [1e39]}, "numbers that float32 does not hold"),
        ({"array": [float("inf")]}, "numbers that float32 does not hold"),
        ({"array": [1, None], "dtype": "int8"}, "numbers that int8 does not hold"),
        ({"array": [2**64], "dtype": "int64"}, "numbers that int64 does not hold"),
        ({"array": [[1], None]}, "this is no array"),
        ({"array": [2], "dtype": "bool"}, "numbers that bool does not hold"),
        ({"array": [10**400]}, "this is no array"),
        ({"array": [[1], [1, 2]]}, "this is no array: .*inhomogeneous"),
    ],
)
def test_numbers_that_are_no_array_of_their_type_are_bad_rows(given: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"^trace: {message}") as caught:
        GATE.row({"trace": given})
    assert not isinstance(caught.value, MisshapenError)


def test_a_form_that_is_wrong_comes_before_what_cannot_be_read() -> None:
    with pytest.raises(MisshapenError, match=r"^words: given as"):
        GATE.row({"trace": {"array": [[1], 2]}, "words": 5})


def test_base64_that_is_none_is_a_bad_row() -> None:
    for given in ("?", "AAA", "\u00e9"):
        with pytest.raises(DataError, match="smell: this is no base64") as caught:
            GATE.row({"smell": {"base64": given}})
        assert not isinstance(caught.value, MisshapenError)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "^a row has one or more of smell, words, trace, record, either, shut, each with a sample"),
        ([], "^a row has one or more of"),
        ("x", "^a row has one or more of"),
        ({"word": "x"}, "^unknown modality 'word'; did you mean 'words'"),
        ({"words": None}, "^words: given as null; expected a text$"),
        ({"words": "x" * 11}, "^words: a text of 11 characters; at most 10 are taken here"),
        ({"words": coded(b"x")}, "^words: given as an object of 'base64'; expected a text$"),
        ({"words": b"x"}, "^words: given as bytes; expected a text$"),
        ({"trace": [1, 2]}, "^trace: given as a list; expected"),
        ({"trace": {"array": 1}}, "^trace: given as an object of 'array'"),
        ({"trace": {"array": ["1"]}}, "^trace: an array of numbers that holds a text"),
        ({"trace": {"array": [True]}}, "^trace: an array of numbers that holds bool"),
        ({"trace": {"array": [{}]}}, "^trace: an array of numbers that holds an object of nothing"),
        ({"trace": {"array": [[[[[[1]]]]]]}}, "^trace: an array of more than 5 axes"),
        (
            {"trace": {"array": [1], "dtype": "object"}},
            "^trace: dtype is given as 'object'; expected one of float32",
        ),
        ({"trace": {"array": [1], "dtype": ["int8"]}}, r"^trace: dtype is given as \['int8'\]"),
        ({"trace": {"array": [[1], 2], "rate": 0}}, "^trace: rate is given as 0; expected Hz"),
        ({"trace": {"array": [1], "rate": 10**400}}, "^trace: rate is given as 1000"),
        ({"trace": {"array": [1], "rate": "8"}}, "^trace: rate is given as '8'"),
        ({"trace": {"array": [1], "path": "x"}}, "^trace: given as an object of 'array', 'path'"),
        ({"record": {"record": {}}}, "^record: given as an object of 'record'"),
        (
            {"record": {"record": {"a": [1]}}},
            "^record: 'a' is given as a list; expected a text, a number, or null",
        ),
        ({"record": {"record": {"a": "x" * 11}}}, "^record: a text of 11 characters"),
        ({"shut": "x"}, "^shut: given as a text; expected nothing by strangers"),
    ],
)
def test_what_has_another_form_says_so(given: Any, message: str) -> None:
    with pytest.raises(MisshapenError, match=message):
        GATE.row(given)


def test_the_schema_tells_the_forms_of_each_modality() -> None:
    schema = GATE.schema()
    assert (schema["minProperties"], schema["additionalProperties"]) == (1, False)
    forms = {name: told["anyOf"] for name, told in schema["properties"].items()}
    assert forms["words"] == [{"type": "string", "maxLength": 10}]
    assert [form["required"] for form in forms["smell"]] == [["base64"], ["array"]]
    assert [form["required"] for form in forms["record"]] == [["record"]]
    assert "shut" not in forms


def test_no_more_is_told_back_of_a_long_name_than_one_can_read() -> None:
    with pytest.raises(MisshapenError, match=f"^unknown modality '{'k' * 100}'; known: ") as error:
        GATE.row({"k" * 100_000: "x"})
    assert len(str(error.value)) < 300
