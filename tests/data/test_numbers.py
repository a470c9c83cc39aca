"""Numbers are read from arrays, lists and files of numpy, within limits and without unpickling."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusion import DataError, decode
from fusion.data import numbers as module


def npy(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


ARRAY = np.array([[1.0, np.nan], [np.inf, -4.0]])


def test_an_array_lists_and_a_file_are_the_same_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", ARRAY)
    forms: list[Any] = [
        *(ARRAY, ARRAY.tolist(), npy(ARRAY), npy(np.asfortranarray(ARRAY)), npy(ARRAY.astype(">f4"))),
        *(tmp_path / "one.npy", str(tmp_path / "one.npy")),
    ]
    for given in forms:
        found = decode.numbers(given, "series")
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, ARRAY.astype(np.float32))
    assert decode.numbers(npy(np.array([True, False])), "series").tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (decode.Text("one.npy"), "series expected, not the text 'one.npy'"),
        ("/no/such.npy", "no such file: /no/such.npy"),
        (b"", "the series is empty"),
        (b"1,2,3", r"cannot read the series \(5 bytes\)"),
        (npy(ARRAY)[:-1], "cannot read the series"),
        (npy(np.array([{}], object), allow_pickle=True), "cannot read the series .*allow_pickle=False"),
        (npy(np.array(["a"])), r"not <U1 of shape \(1,\)"),
        (npy(np.zeros((2, 2, 2))), r"not float64 of shape \(2, 2, 2\)"),
        (np.float64(3), r"of shape \(\)"),
        ([1e39], r"series with a number that fp32 does not hold, 1e\+39"),
    ],
)
def test_what_is_none_is_told(raw: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        decode.numbers(raw, "series")


def test_a_file_that_claims_much_gets_no_room_for_it() -> None:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": "<f4", "fortran_order": False, "shape": (9 * 10**13,)}
    )
    with pytest.raises(DataError, match="90,000,000,000,000 numbers in a sample"):
        decode.numbers(file.getvalue() + b"few", "series")


def test_more_numbers_than_are_read_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NUMBERS", 3)
    for raw in (ARRAY, npy(ARRAY)):
        with pytest.raises(DataError, match="4 numbers in a sample; at most 3 are read"):
            decode.numbers(raw, "series")


def test_samples_that_cannot_be_read_are_left_out_unless_none_can() -> None:
    def read(raw: int) -> int:
        if raw < 0:
            raise DataError(f"{raw} is below 0")
        return 2 * raw

    assert list(decode.readable([-1, 2, -3, 4], read)) == [4, 8]
    assert list(decode.readable([], read)) == []
    with pytest.raises(DataError, match=r"no sample can be read, the first for this reason: -1 is below 0"):
        list(decode.readable([-1, -2], read))
