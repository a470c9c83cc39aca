"""Nearest rows: as a look at all of them at once, whatever the chunks, from a scan or from an embedding."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator

from fusion import DataError, Model, Predictor, Recipe, Registry
from fusion.evaluation.embed import embed
from fusion.explain.nearest import Nearest, neighbours
from tests.evaluation.toys import ToyRows, model, recipe, registry


def unit(*rows: list[float]) -> torch.Tensor:
    return F.normalize(torch.tensor(rows), dim=1)


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_chunks_find_what_sorting_everything_finds(chunk: int) -> None:
    random = torch.Generator().manual_seed(0)
    vectors = F.normalize(torch.randn(100, 6, generator=random), dim=1)
    vectors[40] = vectors[9]  # the same sample again, and a row that is almost it
    vectors[77] = vectors[9] + 1e-7
    query = F.normalize(vectors[9] + 0.1, dim=0)
    place = torch.stack([torch.arange(100) // 50, torch.arange(100) % 50], dim=1)
    best = Nearest(query, 4)
    for start in range(0, 100, chunk):
        best.add(vectors[start : start + chunk], place[start : start + chunk])
    order = [n for n in (vectors @ query).argsort(descending=True).tolist() if n not in (40, 77)][:4]
    found = best.found(("first", "second"))
    assert [(one.source, one.row) for one in found] == [(("first", "second")[n // 50], n % 50) for n in order]
    assert order[0] == 9
    assert [one.rows for one in found] == [3, 1, 1, 1]
    assert [one.similarity for one in found] == pytest.approx([float(vectors[n] @ query) for n in order])


def test_of_equal_rows_the_first_is_named_and_there_may_be_fewer_than_are_asked_for() -> None:
    best = Nearest(torch.tensor([1.0, 0.0]), 3)
    best.add(unit([0.0, 1.0], [1.0, 1.0]), torch.tensor([[0, 5], [0, 6]]))
    best.add(unit([1.0, 1.0], [float("nan"), 1.0]), torch.tensor([[0, 7], [0, 8]]))
    assert [(one.row, one.rows) for one in best.found(("all",))] == [(6, 2), (5, 1)]


@pytest.fixture(scope="module")
def toys() -> tuple[Registry, Recipe, Model]:
    known = registry()
    wanted = recipe(known, {"test": [0, 1, 2]})
    return known, wanted, model(wanted, known)


def query(made: Model, wanted: Recipe, row: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    vectors = Predictor(made, wanted).encode(row).vectors
    return {name: vectors[name][0] for name in row}


def test_every_row_of_the_training_is_looked_at_by_each_modality(
    toys: tuple[Registry, Recipe, Model],
) -> None:
    known, wanted, made = toys
    queries = query(made, wanted, {"sight": "0", "text": "blue"})
    found = neighbours(made, wanted, known, queries, 9)
    assert found["sight"][0]._replace(similarity=1.0) == ("train", 0, 1.0, 2, "0")  # 0 and 6
    assert {one.row: one.rows for one in found["sight"]} == {0: 2, 1: 4, 2: 3}  # row 3 looks green
    assert found["sight"][0].similarity == pytest.approx(1.0)
    blue = found["text"][0]  # row 5 has no text
    assert (blue.row, blue.rows, blue.sample) == (2, 3, "blue thing c")
    assert "sound" not in found


def test_what_was_embedded_gives_the_same(toys: tuple[Registry, Recipe, Model], tmp_path: Path) -> None:
    known, wanted, made = toys
    embed(made, wanted, "train", tmp_path / "parts", known, Accelerator(cpu=True), weights="mine", each=5)
    assert len(list((tmp_path / "parts").iterdir())) == 3
    queries = query(made, wanted, {"sight": "0", "sound": "1"})
    scanned = neighbours(made, wanted, known, queries, 2)
    read = neighbours(made, wanted, known, queries, 2, embedded=tmp_path / "parts", weights="mine")
    assert {name: [one[:2] + one[3:] for one in some] for name, some in read.items()} == {
        name: [one[:2] + one[3:] for one in some] for name, some in scanned.items()
    }

    (tmp_path / "some").mkdir()
    for path in sorted((tmp_path / "parts").iterdir())[:2]:
        (tmp_path / "some" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="some does not hold all rows of train; `fusion embed` writes them"):
        neighbours(made, wanted, known, queries, 2, embedded=tmp_path / "some", weights="mine")

    with pytest.raises(DataError, match=r"part-00000-of-00003\.parquet was made by other weights"):
        neighbours(made, wanted, known, queries, 2, embedded=tmp_path / "parts", weights="other")
    with pytest.raises(DataError, match=r"holds rows of 'train', other ones than those .*: test"):
        neighbours(made, wanted, known, queries, 2, "test", tmp_path / "parts", "mine")
    data = wanted.model_dump()
    data["sources"]["train"]["rows"] = [1, 2]
    other = Recipe(**data)
    with pytest.raises(DataError, match="holds rows of 'train', other ones"):
        neighbours(made, other, known, queries, 2, embedded=tmp_path / "parts", weights="mine")


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_what_was_embedded_in_fewer_bits_gives_nearly_the_same(
    toys: tuple[Registry, Recipe, Model], tmp_path: Path, precision: str
) -> None:
    known, wanted, made = toys
    cpu = Accelerator(cpu=True)
    embed(made, wanted, "train", tmp_path, known, cpu, weights="mine", each=5, precision=precision)
    queries = query(made, wanted, {"sight": "0", "text": "blue", "sound": "1"})
    scanned = neighbours(made, wanted, known, queries, 3)
    found = neighbours(made, wanted, known, queries, 3, embedded=tmp_path, weights="mine")
    for name, some in scanned.items():
        assert [one[:2] + one[3:] for one in found[name]] == [one[:2] + one[3:] for one in some]
        cosines = [one.similarity for one in some]
        assert [one.similarity for one in found[name]] == pytest.approx(cosines, abs=5e-3)
        assert found[name][0].similarity == pytest.approx(1, abs=1e-4)  # at most: codes are no unit vectors


def test_signs_are_refused(toys: tuple[Registry, Recipe, Model], tmp_path: Path) -> None:
    known, wanted, made = toys
    path, cpu = tmp_path / "signs.parquet", Accelerator(cpu=True)
    embed(made, wanted, "train", path, known, cpu, weights="mine", precision="binary")
    queries = query(made, wanted, {"sight": "0"})
    with pytest.raises(DataError, match=r"signs\.parquet holds signs alone, which have no cosine; run"):
        neighbours(made, wanted, known, queries, 1, embedded=path, weights="mine")


def test_one_source_may_be_named(toys: tuple[Registry, Recipe, Model]) -> None:
    known, wanted, made = toys
    found = neighbours(made, wanted, known, query(made, wanted, {"sight": "2"}), 1, "test")
    assert [(one.source, one.row, one.sample) for one in found["sight"]] == [("test", 2, "2")]
    with pytest.raises(DataError, match="unknown source 'tset'; did you mean 'test'"):
        neighbours(made, wanted, known, {}, 1, "tset")


def test_what_is_no_embedding_is_refused(toys: tuple[Registry, Recipe, Model], tmp_path: Path) -> None:
    known, wanted, made = toys
    queries = query(made, wanted, {"sight": "2"})
    with pytest.raises(DataError, match="does not hold all rows of train; `fusion embed` writes them"):
        neighbours(made, wanted, known, queries, 1, embedded=tmp_path)
    pq.write_table(pa.table({"row": [1]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match=r"other\.parquet is no part of an embedding"):
        neighbours(made, wanted, known, queries, 1, embedded=tmp_path / "other.parquet")


def test_a_stream_has_no_rows_to_name(toys: tuple[Registry, Recipe, Model]) -> None:
    known, wanted, made = toys
    data = wanted.model_dump()
    data["sources"] = {"train": {"name": "toy-stream"}}
    with pytest.raises(DataError, match=r"sources\.train is a stream"):
        neighbours(made, Recipe(**data), known, {}, 1)


def test_only_the_encoders_of_the_query_read_and_only_one_batch_at_a_time(
    toys: tuple[Registry, Recipe, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    known, wanted, made = toys
    data = wanted.model_dump()
    data["evaluate"]["batch"] = 4
    seen: list[tuple[str, int]] = []
    handles = [
        part.register_forward_hook(lambda _, given, made, name=name: seen.append((name, len(made.pooled))))
        for name, part in made.encoders.items()
    ]
    queries = {"sound": F.normalize(torch.ones(8), dim=0)}
    neighbours(made, Recipe(**data), known, queries, 1)
    for handle in handles:
        handle.remove()
    assert {name for name, _ in seen} == {"sound"}
    assert (
        sum(rows for _, rows in seen) == len([row for row in ToyRows().rows if "sound" in row]) - 1
    )  # row 10
    assert max(rows for _, rows in seen) <= 4
