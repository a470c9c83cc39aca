"""Which rows of the source `datasets` are kept: by split, by what columns hold, by number."""

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fusion_datasets.selection import Split, choose, read_split
from fusion_datasets.source import open_rows

from fusion import DataError

SPEAKERS = ["theo", "jackson", "theo", None, "nicolas", "jackson", "theo", "nicolas"]
FOLDS = [1, 1, 2, 2, 3, 3, None, 1]
SCORES = [0.5, 1.0, float("nan"), 0.5, None, 2.0, 0.5, 1.0]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


@pytest.fixture
def table(tmp_path: Path) -> str:
    """Eight rows, numbered, in record batches of three."""
    columns = {
        "number": range(8),
        "speaker": SPEAKERS,
        "fold": FOLDS,
        "score": SCORES,
        "loud": [True, False] * 4,
        "class": pa.array([0, 1, 2, 0, 1, 2, 0, 1]),
        "media": [bytes([n]) for n in range(8)],
        "kind": pa.array(SPEAKERS).dictionary_encode(),
    }
    label = {"_type": "ClassLabel", "names": ["cat", "dog", "cow"]}
    kept = {"huggingface": json.dumps({"info": {"features": {"class": label}}})}
    pq.write_table(
        pa.table(columns).replace_schema_metadata(kept), tmp_path / "rows.parquet", row_group_size=3
    )
    return str(tmp_path / "rows.parquet")


def numbers(data: str, **options: Any) -> list[int]:
    source = open_rows(data=data, columns={"value": "number"}, **options)
    return [source[index]["value"] for index in range(len(source))]


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ({"speaker": "theo"}, [0, 2, 6]),
        ({"speaker": ["theo", "nicolas"]}, [0, 2, 4, 6, 7]),
        ({"speaker": {"not": "theo"}}, [1, 3, 4, 5, 7]),
        ({"speaker": {"not": ["theo", None]}}, [1, 4, 5, 7]),
        ({"speaker": None}, [3]),
        ({"kind": ["jackson"]}, [1, 5]),
        ({"fold": [1, 3]}, [0, 1, 4, 5, 7]),
        ({"fold": "2"}, [2, 3]),
        ({"fold": 1, "speaker": {"not": "jackson"}}, [0, 7]),
        ({"score": 0.5}, [0, 3, 6]),
        ({"loud": True, "fold": 2}, [2]),
        ({"class": "dog"}, [1, 4, 7]),
        ({"class": [2, "cat"]}, [0, 2, 3, 5, 6]),
    ],
)
def test_rows_are_kept_by_what_their_columns_hold(table: str, where: dict[str, Any], kept: list[int]) -> None:
    assert numbers(table, where=where) == kept


@pytest.mark.parametrize(
    ("split", "kept"),
    [
        ("train", range(8)),
        ("train[:3]", range(3)),
        ("train[3:]", range(3, 8)),
        ("train[-2:]", range(6, 8)),
        ("train[:75%]", range(6)),
        ("train[75%:]", range(6, 8)),
        ("train[:30%]", range(2)),  # 2.4 rows
        ("train[30%:]", range(2, 8)),
        ("train[2:100]", range(2, 8)),
    ],
)
def test_a_part_of_a_split_is_cut_out_and_its_complement_is_the_rest(
    table: str, split: str, kept: range
) -> None:
    assert numbers(table, split=split) == list(kept)


def test_first_the_part_is_cut_out_then_conditions_hold_then_the_first_are_kept(table: str) -> None:
    assert numbers(table, split="train[1:]", where={"speaker": "theo"}) == [2, 6]
    assert numbers(table, split="train[1:]", where={"speaker": "theo"}, limit=1) == [2]
    assert numbers(table, limit=3) == [0, 1, 2]
    assert numbers(table, limit=100) == list(range(8))


def test_conditions_read_columns_that_rows_do_not_have(table: str) -> None:
    source = open_rows(data=table, columns={"image": "media"}, where={"fold": 3})
    assert [source[index] for index in range(len(source))] == [{"image": b"\x04"}, {"image": b"\x05"}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"where": {"spaeker": "theo"}}, "where: unknown column 'spaeker'; did you mean 'speaker'"),
        ({"where": {"fold": "x"}}, "where.fold: 'x' is nothing that a column of int64 holds"),
        (
            {"where": {"fold": {"above": 1}}},
            r"where.fold is {'above': 1}; give a value, a list of values, or",
        ),
        ({"where": {"class": "cta"}}, "where.class: unknown class 'cta'; did you mean 'cat'"),
        ({"where": {"media": "x"}}, "where.media: the column holds bytes, which are not compared"),
        (
            {"where": {"speaker": "Theo"}},
            "none of 8 rows is left by split and where; speaker holds theo, jackson, None, nicolas",
        ),
        ({"split": "train[5:5]"}, "none of 8 rows is left"),
        ({"split": "train[1:2:3]"}, r"split is 'train\[1:2:3\]'; write a name, or a part such as"),
        ({"split": "test[:3]"}, "unknown split 'test'; known: train"),
    ],
)
def test_what_selects_nothing_says_why(table: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        numbers(table, **options)


def test_percentages_never_lose_or_repeat_a_row() -> None:
    for rows in range(50):
        for percent in range(0, 101, 7):
            first, second = read_split(f"train[:{percent}%]"), read_split(f"train[{percent}%:]")
            assert first.bounds(rows)[1] == second.bounds(rows)[0]
            assert (first.bounds(rows)[0], second.bounds(rows)[1]) == (0, rows)


def test_ten_million_rows_are_chosen_without_a_look_at_each_in_python() -> None:
    size = 10_000_000
    speaker = pa.chunked_array([pa.array(np.arange(size) % 7)])
    reads: list[int] = []

    class Watched(dict[str, pa.ChunkedArray]):
        """Columns that note which of them are looked at."""

        def __getitem__(self, name: str) -> pa.ChunkedArray:
            reads.append(1)
            return super().__getitem__(name)

    columns = Watched(speaker=speaker, media=pa.chunked_array([pa.nulls(size)]))
    everything = choose(columns, {}, Split("train", None, None), {}, None)
    assert everything == range(size)  # takes no memory
    kept = choose(columns, {}, Split("train", None, None), {"speaker": [3]}, None)
    assert len(kept) == 1_428_571
    assert kept[-1] == 9_999_993
    assert len(reads) < 10
