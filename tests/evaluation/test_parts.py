"""Parts of an embedding: whole or not there, and of one thing."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fusion import DataError
from fusion.data.collate import BadRow
from fusion.evaluation.parts import Footer, Parts, read

SCHEMA = pa.schema([("row", pa.int64())])
MADE = {"weights": "a", "rows": 5}


def parts(folder: Path, **changes: Any) -> Parts:
    return Parts(folder / "out", 5, 2, {**MADE, **changes})


def write(some: Parts, number: int) -> None:
    with some.write(number, SCHEMA) as part:
        rows = list(range(*some.bounds[number]))
        part.writer.write_table(pa.table({"row": rows}, SCHEMA))
        part.bad.append(BadRow("test", number, "torn"))


def test_the_last_part_has_what_is_left(tmp_path: Path) -> None:
    assert parts(tmp_path).bounds == [(0, 2), (2, 4), (4, 5)]
    assert Parts(tmp_path / "out", 4, 2, MADE).bounds == [(0, 2), (2, 4)]
    assert Parts(tmp_path / "out", 0, 2, MADE).bounds == [(0, 0)]
    assert Parts(tmp_path / "one.parquet", 5, 2, MADE).bounds == [(0, 5)]


def test_what_is_not_there_or_not_whole_is_missing(tmp_path: Path) -> None:
    some = parts(tmp_path)
    assert some.missing() == [0, 1, 2]
    for number in (0, 2):
        write(some, number)
    assert some.missing() == [1]
    assert read(some.paths[2]) == Footer(MADE, 1, [BadRow("test", 2, "torn")])
    with some.paths[0].open("r+b") as file:
        file.truncate(20)
    assert some.missing() == [0, 1]
    write(some, 0)
    write(some, 1)
    assert [footer.rows for footer in some.footers()] == [2, 2, 1]
    assert pq.read_table(tmp_path / "out").to_pydict() == {"row": [0, 1, 2, 3, 4]}


def test_a_part_that_fails_is_not_there(tmp_path: Path) -> None:
    some = parts(tmp_path)
    with pytest.raises(ZeroDivisionError), some.write(0, SCHEMA):
        raise ZeroDivisionError
    assert list((tmp_path / "out").iterdir()) == []


def test_parts_of_something_else_are_refused_and_what_differs_is_named(tmp_path: Path) -> None:
    write(parts(tmp_path), 0)
    with pytest.raises(
        DataError,
        match=r"part-00000-of-00003\.parquet was made from something else; what "
        r"differs: weights; choose another --out, or remove that one$",
    ):
        parts(tmp_path, weights="b").missing()
    larger = Parts(tmp_path / "out", 7, 2, {**MADE, "rows": 7})
    with pytest.raises(DataError, match="what differs: rows;"):
        larger.missing()


def test_what_is_no_embedding_is_refused(tmp_path: Path) -> None:
    some = parts(tmp_path)
    some.out.mkdir()
    pq.write_table(pa.table({"row": [1]}), some.out / "mine.parquet")
    with pytest.raises(DataError, match=r"mine\.parquet is no part of an embedding; choose another --out"):
        some.missing()
    (some.out / "mine.parquet").rename(some.out / "mine.txt")
    with pytest.raises(DataError, match=r"mine\.txt is no part of an embedding"):
        some.missing()
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file is a file; give a folder, or a file that ends in \.parquet"):
        Parts(tmp_path / "file", 5, 2, MADE).missing()
