"""The source `datasets` as a stream: every row once, roughly shuffled, in loader workers too."""

import io
import json
import pickle
import tarfile
from itertools import chain
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fusion_datasets.source import open_rows
from fusion_datasets.streaming import BUFFER
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from fusion import Choices, DataError, Row, Stream

ROWS, SHARDS = 900, 6


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def write(folder: Path, format: str, shards: int = SHARDS) -> str:
    """Write rows 0 to 899: a number, bytes, a class, and one or two texts."""
    folder.mkdir()
    for shard in range(shards):
        rows = range(shard * ROWS // shards, (shard + 1) * ROWS // shards)
        path = folder / f"{shard}"
        texts = [[f"row {n}", f"number {n}"] if n % 2 else [f"row {n}"] for n in rows]
        if format == "parquet":
            classes = ["odd" if n % 2 else "even" for n in rows]
            columns = {"n": rows, "raw": [bytes([n % 256]) for n in rows], "class": classes, "texts": texts}
            pq.write_table(pa.table(columns), path.with_suffix(".parquet"), row_group_size=40)
        elif format == "json":
            lines = [
                {"n": n, "class": "odd" if n % 2 else "even", "texts": text}
                for n, text in zip(rows, texts, strict=True)
            ]
            path.with_suffix(".jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        else:
            with tarfile.open(path.with_suffix(".tar"), "w") as tar:
                for n, text in zip(rows, texts, strict=True):
                    fields = {"n": n, "class": "odd" if n % 2 else "even", "texts": text}
                    for name, content in [("json", json.dumps(fields).encode()), ("flac", bytes([n % 256]))]:
                        member = tarfile.TarInfo(f"{n:05d}.{name}")
                        member.size = len(content)
                        tar.addfile(member, io.BytesIO(content))
    return str(folder)


FORMATS = pytest.mark.parametrize("format", ["parquet", "json", "webdataset"])


def opened(data: str, format: str, **options: Any) -> Stream:
    above = "json." if format == "webdataset" else ""
    if "where" in options:
        options["where"] = {above + name: value for name, value in options["where"].items()}
    columns = {"value": above + "n", "text": above + "texts"}
    stream = open_rows(data=data, columns=columns, streaming=True, **options)
    assert isinstance(stream, Stream)
    return stream


def values(stream: Stream, part: int = 0, parts: int = 1, seed: int = 0) -> list[int]:
    return [row["value"] for row in stream.rows(part, parts, seed)]


@FORMATS
@pytest.mark.parametrize("parts", [1, 2, 4, 6, 7])
def test_all_parts_together_have_every_row_once(tmp_path: Path, format: str, parts: int) -> None:
    stream = opened(write(tmp_path / "data", format), format)
    found = [values(stream, part, parts) for part in range(parts)]
    assert all(found)
    assert sorted(chain(*found)) == list(range(ROWS))
    if parts > SHARDS:  # every seventh row
        assert {len(some) for some in found} == {ROWS // parts, ROWS // parts + 1}
    else:  # whole shards
        assert all(len(some) % (ROWS // SHARDS) == 0 for some in found)


@FORMATS
def test_rows_are_what_random_access_gives(tmp_path: Path, format: str) -> None:
    data = write(tmp_path / "data", format)
    stream = opened(data, format)
    above = "json." if format == "webdataset" else ""
    source = open_rows(data=data, columns={"value": above + "n", "text": above + "texts"})
    assert not isinstance(source, Stream)
    by_value = {row["value"]: row for row in stream.rows(0, 1, 0)}
    assert len(by_value) == ROWS
    assert all(by_value[source[n]["value"]] == source[n] for n in range(ROWS))
    assert by_value[3]["text"] == Choices(["row 3", "number 3"])
    assert by_value[4]["text"] == "row 4"


@FORMATS
def test_the_order_depends_on_the_seed_alone_and_mixes(tmp_path: Path, format: str) -> None:
    stream = opened(write(tmp_path / "data", format), format)
    first = values(stream)
    assert first == values(stream) == values(pickle.loads(pickle.dumps(stream)))
    assert first != values(stream, seed=1)
    assert first != sorted(first)
    # the first ones are drawn out of those held, which come from several shards
    assert len({n // (ROWS // SHARDS) for n in first[:50]}) >= 3
    # which are not always the same ones: 512 are held, so the last shard is not among the first by itself
    last = range(ROWS - ROWS // SHARDS, ROWS)
    assert any(n in last for seed in range(6) for n in values(stream, 0, 1, seed)[:50])


@FORMATS
def test_a_pickle_is_small(tmp_path: Path, format: str) -> None:
    assert len(pickle.dumps(opened(write(tmp_path / "data", format), format))) < 20_000


@FORMATS
def test_only_rows_that_meet_the_conditions_come(tmp_path: Path, format: str) -> None:
    stream = opened(write(tmp_path / "data", format), format, where={"class": "odd"})
    found = [values(stream, part, 7) for part in range(7)]
    assert sorted(chain(*found)) == list(range(1, ROWS, 2))


def test_a_column_that_begins_without_values_is_read_where_it_has_some(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "rows.tar", "w") as tar:
        for n in range(200):
            late = {"class": "odd", "text": "late"} if n > 100 else {"class": None, "text": None}
            content = json.dumps({"n": n} | late).encode()
            member = tarfile.TarInfo(f"{n}.json")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    columns = {"value": "json.n", "text": "json.text"}
    data = str(tmp_path / "rows.tar")
    for kept, expected in [("odd", range(101, 200)), (None, range(101)), ({"not": "odd"}, range(101))]:
        stream = open_rows(data=data, columns=columns, where={"json.class": kept}, streaming=True)
        assert isinstance(stream, Stream)
        found = sorted(stream.rows(0, 1, 0), key=lambda row: row["value"])
        assert [row["value"] for row in found] == list(expected)
        assert [row.get("text") for row in found] == ["late" if n > 100 else None for n in expected]


def test_a_column_that_some_tables_lack_is_absent_there(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "rows.tar", "w") as tar:
        for n in range(200):
            for name in ("cls", "txt") if n < 100 else ("cls",):
                member = tarfile.TarInfo(f"{n}.{name}")
                member.size = 3
                tar.addfile(member, io.BytesIO(f"{n:03d}".encode()))
    columns = {"value": "cls", "text": "txt"}
    stream = open_rows(data=str(tmp_path / "rows.tar"), columns=columns, streaming=True)
    assert isinstance(stream, Stream)
    found = sorted(stream.rows(0, 1, 0), key=lambda row: row["value"])
    assert found[99:101] == [{"value": 99, "text": "099"}, {"value": 100}]


@pytest.mark.parametrize("parts", [1, 4, 7])
def test_limit_counts_the_rows_of_all_parts(tmp_path: Path, parts: int) -> None:
    stream = opened(write(tmp_path / "data", "parquet"), "parquet", limit=50)
    found = list(chain(*(values(stream, part, parts) for part in range(parts))))
    assert sorted(found) == list(range(50))


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_limit_counts_the_rows_that_fit_whatever_the_sizes_of_shards(tmp_path: Path, parts: int) -> None:
    for shard, rows in enumerate([range(5), range(5, 55), range(55, 105), range(105, 155)]):
        pq.write_table(pa.table({"n": rows, "texts": [["x"]] * len(rows)}), tmp_path / f"{shard}.parquet")
    even = {"where": {"n": [*range(0, 155, 2)]}}
    for limit, options, expected in [(100, {}, range(100)), (30, even, range(0, 60, 2))]:
        stream = opened(str(tmp_path), "parquet", limit=limit, **options)
        found = list(chain(*(values(stream, part, parts) for part in range(parts))))
        assert sorted(found) == list(expected)


def test_nothing_is_converted_or_copied(tmp_path: Path) -> None:
    for format in ("parquet", "json", "webdataset"):
        assert len(values(opened(write(tmp_path / format, format), format))) == ROWS
    cache = Path(datasets.config.HF_DATASETS_CACHE)
    assert [path for path in cache.rglob("*") if path.suffix == ".arrow"] == []


def test_media_of_shards_come_as_bytes(tmp_path: Path) -> None:
    data = write(tmp_path / "data", "webdataset")
    stream = open_rows(data=data, columns={"audio": "flac", "value": "json.n"}, streaming=True)
    assert isinstance(stream, Stream)
    found = list(stream.rows(0, 1, 0))
    assert len(found) == ROWS
    assert all(row["audio"] == bytes([row["value"] % 256]) for row in found)


class Parts(IterableDataset[Row]):
    """The part of a stream that a loader worker reads."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def __iter__(self) -> Any:
        info = get_worker_info()
        assert info is not None
        return self.stream.rows(info.id, info.num_workers, 0)


@FORMATS
@pytest.mark.parametrize("shards", [1, 3])
def test_loader_workers_read_parts_that_share_no_row(tmp_path: Path, format: str, shards: int) -> None:
    stream = opened(write(tmp_path / "data", format, shards), format)
    found = [row["value"] for row in DataLoader(Parts(stream), batch_size=None, num_workers=2)]
    assert sorted(found) == list(range(ROWS))


def test_a_row_that_cannot_be_read_raises_when_it_is_looked_at_and_the_stream_goes_on(tmp_path: Path) -> None:
    lines = [
        {"n": n, "class": "cow" if n == 3 else "cat", "file": "../x" if n == 5 else "x"} for n in range(9)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    columns = {"value": "n", "label": {"column": "class", "classes": ["cat"]}, "image": "file"}
    stream = open_rows(data=str(tmp_path / "rows.jsonl"), columns=columns, streaming=True)
    assert isinstance(stream, Stream)
    told = []
    for row in stream.rows(0, 1, 0):
        try:
            told.append(str(row.get("value")))
        except DataError as error:
            told.append(str(error).split(":")[0])
    assert sorted(told) == ["0", "1", "2", "4", "6", "7", "8", "image", "label"]


@FORMATS
def test_the_rest_of_a_damaged_shard_is_one_bad_row(tmp_path: Path, format: str) -> None:
    data = write(tmp_path / "data", format)
    stream = opened(data, format)
    shard = sorted(Path(data).iterdir())[3]
    damaged = shard.read_bytes()
    shard.write_bytes(damaged[: len(damaged) // 2])
    good, bad = [], []
    for row in stream.rows(0, 1, 0):
        try:
            good.append(row["value"])
        except DataError as error:
            bad.append(str(error))
    assert len(bad) == 1
    assert "the rest of shard 3 cannot be read" in bad[0]
    assert len(set(good)) == len(good)
    assert set(range(450)) | set(range(600, 900)) <= set(good)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"value": "m"}}, "columns.value: unknown column 'm'; .*known: n, raw, class, texts"),
        ({"where": {"clas": "odd"}}, "where: unknown column 'clas'; did you mean 'class'"),
        ({"split": "test"}, "unknown split 'test'; known: train"),
        ({"split": "train[:50%]"}, r"split is 'train\[:50%\]'; of a stream no part can be taken"),
        ({"columns": {"label": "class"}}, r"column 'class' holds words \(even, odd\); give label"),
    ],
)
def test_an_option_that_does_not_fit_a_stream_says_so_at_once(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        open_rows(data=write(tmp_path / "data", "parquet"), streaming=True, **options)


def test_formats_that_are_not_streamed_and_streams_without_rows_say_so(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("n\n1\n")
    with pytest.raises(DataError, match="csv is not streamed, parquet, json, webdataset and hub are"):
        open_rows(data=str(tmp_path / "a.csv"), streaming=True)
    tarfile.open(tmp_path / "a.tar", "w").close()
    with pytest.raises(DataError, match="the stream has no row"):
        open_rows(data=str(tmp_path / "a.tar"), streaming=True)
    (tmp_path / "a.parquet").write_bytes(b"damaged" * 100)
    with pytest.raises(DataError, match=r"a\.parquet' cannot be read as parquet: Parquet magic bytes"):
        open_rows(data=str(tmp_path / "a.parquet"), streaming=True)


def test_a_small_buffer_would_not_hide_rows() -> None:
    assert BUFFER < ROWS  # so that these tests draw from a buffer that is full
