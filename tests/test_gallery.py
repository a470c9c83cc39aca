"""Search in few bits and rescoring: values by hand, and an exact search by its definition."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fusion import DataError, Gallery, gallery

VECTORS = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, -0.8], [-1.0, 0.0]])


def space(rows: int, width: int) -> Tensor:
    """Return unit vectors, of which some lie close together."""
    random = torch.Generator().manual_seed(0)
    centres = torch.randn(10, width, generator=random)[torch.arange(rows) % 10]
    return F.normalize(centres + 0.5 * torch.randn(rows, width, generator=random), dim=1)


def test_floats_are_found_by_their_inner_product() -> None:
    found = Gallery.of(VECTORS).search(torch.tensor([[1.0, 0.1], [-1.0, 1.0]]), 2)
    assert found.items.tolist() == [[0, 1], [3, 1]]
    torch.testing.assert_close(found.scores, torch.tensor([[1.0, 0.86], [1.0, -0.2]]))


def test_signs_are_compared_by_how_many_agree_and_then_by_the_query() -> None:
    """By signs items 1 and 0 are (+, +) and (+, -); the query's size tells (+, -) and (+, +) apart."""
    kept = Gallery.of(VECTORS, "binary")
    first = kept.search(torch.tensor([[0.9, 0.1]]), 1, oversample=1)
    assert (first.items.tolist(), first.scores.tolist()) == ([[1]], [[pytest.approx(1.0)]])
    rescored = kept.search(torch.tensor([[0.9, 0.1]]), 1, oversample=4, vectors=VECTORS)
    assert (rescored.items.tolist(), rescored.scores.tolist()) == ([[0]], [[pytest.approx(0.9)]])


@pytest.mark.parametrize(("precision", "least"), [("float32", 1.0), ("float16", 0.99), ("int8", 0.95)])
def test_what_is_found_is_what_an_exact_search_finds(precision: str, least: float) -> None:
    vectors, queries = space(3000, 64), space(50, 64)
    scores, items = (queries.double() @ vectors.double().T).topk(10)
    found = Gallery.of(vectors, precision).search(queries, 10)
    alike = [len({*a} & {*b}) / 10 for a, b in zip(found.items.tolist(), items.tolist(), strict=True)]
    assert sum(alike) / 50 >= least
    assert found.recall(Gallery.of(vectors).search(queries, 10)) == pytest.approx(sum(alike) / 50, abs=1e-3)
    torch.testing.assert_close(found.scores.double(), scores, rtol=0, atol=0.02)


@pytest.mark.parametrize("precision", ["int8", "binary"])
def test_with_everything_rescored_by_the_vectors_nothing_is_lost(precision: str) -> None:
    vectors, queries = space(500, 20), space(30, 20)
    exact = Gallery.of(vectors).search(queries, 5)
    found = Gallery.of(vectors, precision).search(queries, 5, oversample=100, vectors=vectors)
    assert torch.equal(found.items, exact.items)
    torch.testing.assert_close(found.scores, exact.scores)


def test_more_is_found_the_more_is_rescored() -> None:
    vectors, queries = space(3000, 64), space(50, 64)
    exact, kept = Gallery.of(vectors).search(queries, 10), Gallery.of(vectors, "binary")
    shares = [
        kept.search(queries, 10, oversample=times, vectors=vectors).recall(exact) for times in (1, 4, 16)
    ]
    assert shares == sorted(shares)
    assert shares[0] + 0.1 < shares[2]


def test_the_first_pass_is_by_hamming_distance() -> None:
    vectors, queries = space(300, 24), space(7, 24)
    found = Gallery.of(vectors, "binary").search(queries, 300, oversample=1)
    distance = ((vectors > 0) != (queries > 0)[:, None]).sum(2)
    weighed = queries @ torch.where(vectors > 0, 1.0, -1.0).T
    torch.testing.assert_close(found.scores, weighed.sort(descending=True).values)
    nearest = Gallery.of(vectors, "binary").search(queries, 1, oversample=1).items
    assert torch.equal(distance.gather(1, nearest), distance.amin(1, keepdim=True))


@pytest.mark.parametrize("precision", ["float32", "float16", "int8", "binary"])
def test_blocks_change_nothing(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, queries = space(100, 16), space(9, 16)
    whole = Gallery.of(vectors, precision).search(queries, 3, oversample=40, vectors=vectors)
    monkeypatch.setattr(gallery, "BLOCK", 7)
    monkeypatch.setattr(gallery, "BUDGET", 400)
    parts = Gallery.of(vectors, precision).search(queries, 3, oversample=40, vectors=vectors)
    torch.testing.assert_close(parts.scores, whole.scores)
    assert torch.equal(parts.items, whole.items)


def test_no_queries_find_nothing() -> None:
    assert Gallery.of(VECTORS, "int8").search(torch.zeros(0, 2), 3).items.shape == (0, 3)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match=r"queries are \(3, 5\); the gallery needs \(q, 2\)"):
        Gallery.of(VECTORS).search(torch.zeros(3, 5), 1)
    with pytest.raises(DataError, match="k is 5; the gallery has 4 items"):
        Gallery.of(VECTORS).search(torch.zeros(3, 2), 5)
    with pytest.raises(DataError, match="k is 0"):
        Gallery.of(VECTORS).search(torch.zeros(3, 2), 0)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no parquet files"):
        Gallery.read(tmp_path, "image")
    pq.write_table(pa.table({"image": [[1.0]]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match="is no embedding; give what `fusion embed` wrote"):
        Gallery.read(tmp_path / "other.parquet", "image")


@pytest.mark.parametrize(
    ("high", "precision", "width"), [(2.0, "int8", 2), (1.0, "binary", 2), (1.0, "int8", 3)]
)
def test_parts_of_several_embeddings_are_refused(
    high: float, precision: str, width: int, tmp_path: Path
) -> None:
    def part(name: str, high: float, precision: str, width: int) -> None:
        ranges = {"image": {"low": [-1.0, -1.0], "high": [high, 1.0]}}
        said = {"made": {"precision": precision, "width": width}, "bad": [], "ranges": ranges}
        vectors = pa.array([[127, -128]], pa.list_(pa.int8(), 2))
        table = pa.table({"row": [0], "image": vectors})
        pq.write_table(table.replace_schema_metadata({"fusion": json.dumps(said)}), tmp_path / name)

    part("a.parquet", 1.0, "int8", 2)
    part("b.parquet", 1.0, "int8", 2)
    assert len(Gallery.read(tmp_path, "image").codes) == 2
    part("b.parquet", high, precision, width)
    with pytest.raises(DataError, match=r"b\.parquet and .*a\.parquet differ in precision, width or ranges"):
        Gallery.read(tmp_path, "image")
