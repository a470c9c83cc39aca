"""Bad rows are written down once, and too many of them end a training with the worst source named."""

import json
import os
from pathlib import Path

import pytest

from fusion import DataError
from fusion.data.collate import BadRow
from fusion.data.ledger import Ledger


def written(path: Path) -> list[BadRow]:
    return [BadRow(**json.loads(line)) for line in path.read_bytes().decode().split("\n") if line]


def test_rows_are_written_in_the_order_in_which_they_were_found(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path, max_bad=9)
    rows = [BadRow("clips", 7, "silent"), BadRow("photos", 1, "torn"), BadRow("clips", 3, "silent")]
    ledger.add(rows[:2])
    ledger.add(rows[2:])
    assert written(path) == rows


def test_no_file_is_made_while_all_rows_are_good(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl", max_bad=0)
    ledger.add([])
    assert not list(tmp_path.iterdir())


def test_a_row_that_is_bad_in_every_epoch_is_counted_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl", max_bad=2)
    for epoch in range(3):  # the reason may differ: augmentation does
        ledger.add(
            [BadRow("photos", 1, f"torn {epoch}"), BadRow("photos", 1, "torn"), BadRow("clips", 1, "x")]
        )
    assert written(ledger.path) == [BadRow("photos", 1, "torn 0"), BadRow("clips", 1, "x")]


def test_a_ledger_goes_on_where_an_earlier_one_stopped(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger(path, max_bad=2).add([BadRow("photos", 1, "torn"), BadRow("photos", 2, "torn")])
    again = Ledger(path, max_bad=2)
    again.add([BadRow("photos", 2, "torn")])
    with pytest.raises(DataError, match=r"^3 rows cannot be read"):
        again.add([BadRow("clips", 2, "torn")])
    assert len(written(path)) == 3


def test_a_line_that_a_kill_has_torn_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger(path, max_bad=9).add([BadRow("photos", 1, "torn"), BadRow("photos", 2, "tört")])
    whole = path.read_bytes()
    for length in range(len(whole) - 1, whole.index(b"\n"), -1):
        path.write_bytes(whole[:length])
        ledger = Ledger(path, max_bad=9)
        assert list(ledger.rows.values()) == [BadRow("photos", 1, "torn")]
    ledger.rewind(1)
    ledger.add([BadRow("clips", 5, "x")])
    assert written(path) == [BadRow("photos", 1, "torn"), BadRow("clips", 5, "x")]


def test_what_was_found_later_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    found = [BadRow("photos", 1, "torn"), BadRow("clips", 2, "silent"), BadRow("test", 3, "torn")]
    Ledger(path, max_bad=9).add(found)
    writing, other = Ledger(path, max_bad=2), Ledger(path, max_bad=2, writes=False)
    other.rewind(2)
    assert written(path) == found
    writing.rewind(2)
    assert written(path) == found[:2] == list(writing.rows.values()) == list(other.rows.values())
    writing.rewind(0)
    assert not written(path)


@pytest.mark.parametrize("reason", ["no file a\u2028b\x85c\nd", os.fsdecode(b"no file \xff.png"), "Bär \x00"])
def test_a_reason_may_hold_any_character(tmp_path: Path, reason: str) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger(path, max_bad=9).add([BadRow("photos", 1, reason), BadRow("photos", 2, "x")])
    assert written(path)[0].reason == reason
    assert list(Ledger(path, max_bad=9).rows.values()) == [
        BadRow("photos", 1, reason),
        BadRow("photos", 2, "x"),
    ]


def test_one_row_too_many_names_the_worst_source_and_its_last_row(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl", max_bad=3)
    ledger.add([BadRow("clips", 7, "silent"), BadRow("photos", 1, "torn"), BadRow("photos", 4, "empty")])
    with pytest.raises(
        DataError,
        match=r"^4 rows cannot be read, train\.max_bad allows 3; the worst source is 'photos' with 3, "
        r"such as row 9: too large; all are in .*ledger\.jsonl$",
    ):
        ledger.add([BadRow("photos", 9, "too large")])
    assert len(written(ledger.path)) == 4  # the one that was too many is listed too


def test_max_bad_of_zero_allows_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^1 rows cannot be read, train\.max_bad allows 0"):
        Ledger(tmp_path / "ledger.jsonl", max_bad=0).add([BadRow("photos", 1, "torn")])


def test_a_ledger_that_does_not_write_counts_all_the_same(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl", max_bad=1, writes=False)
    ledger.add([BadRow("photos", 1, "torn")])
    with pytest.raises(DataError, match=r"^2 rows cannot be read"):
        ledger.add([BadRow("photos", 2, "torn")])
    assert not list(tmp_path.iterdir())


def test_the_summary_tells_each_kind_of_reason(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl", 100)
    ledger.add(BadRow("all", row, "label 7, outside 0..1") for row in (8, 9, 11))
    ledger.add([BadRow("all", 5, "image: cannot read the image"), BadRow("more", 6, "image: of 0 bytes")])
    assert ledger.summary() == (
        "3 such as row 8 of 'all' (label 7, outside 0..1); "
        "2 such as row 5 of 'all' (image: cannot read the image)"
    )
