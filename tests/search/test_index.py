"""What an index finds, by hand, and which index is opened."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fusion import DataError, Model, Registry, Run, RunError
from fusion.recipe.picks import SourcePick
from fusion.search import Hit, Index
from fusion.search import record as records
from fusion.search.merged import Merged, Segment
from fusion.search.part import Part
from fusion.search.record import Held, Record
from fusion.search.rows import Rows
from tests.evaluation.toys import ToyRows, toy_rows
from tests.search.conftest import Update, make


def record(**modalities: int) -> Record:
    held = {
        name: Held(vectors=count, kind="exact", effort=1, recall=1.0, kept=None)
        for name, count in modalities.items()
    }
    return Record(
        weights="w",
        source="test",
        options=SourcePick(name="toy-rows"),
        target="label",
        classes=["red", "green"],
        width=2,
        rows=9,
        left_out="",
        kind="auto",
        written=[],
        modalities=held,
    )


def part(vectors: list[list[float]], rows: list[int], targets: Tensor) -> Part:
    return Part(torch.tensor(vectors), torch.tensor(rows), targets)


def merged(parts: dict[str, Part]) -> Merged:
    return Merged([Segment(Rows.read("0-8"), parts)], parts)


@pytest.fixture
def index(toy_registry: Registry) -> Index:
    """Sight of rows 1, 4 and 8, sound of row 4, and what is fused of them."""
    sight = [[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]]
    parts = {
        "sight": part(sight, [1, 4, 8], torch.tensor([0, 5, -100])),
        "sound": part([[0.8, 0.6]], [4], torch.tensor([1])),
        "fused": part([[0.0, 1.0], [0.0, 1.0], [0.0, -1.0]], [1, 4, 8], torch.tensor([0, 5, -100])),
    }
    return Index("all", record(sight=3, sound=1, fused=3), merged(parts), toy_registry)


def rounded(hits: list[Hit]) -> list[Hit]:
    return [hit._replace(score=round(hit.score, 6)) for hit in hits]


def test_hits_are_the_nearest_of_all_modalities_by_cosine(index: Index) -> None:
    assert index.modalities == ["sight", "sound", "fused"]
    [first, second] = index.search(torch.tensor([[3.0, 0.0], [0.0, -0.5]]), 3)
    assert rounded(first) == [
        Hit(1.0, "sight", 1, "test", "red"),
        Hit(0.8, "sound", 4, "test", "green"),
        Hit(0.6, "sight", 4, "test", "5"),
    ]
    assert rounded(second) == [
        Hit(0.0, "sight", 1, "test", "red"),
        Hit(0.0, "sight", 8, "test", None),
        Hit(-0.6, "sound", 4, "test", "green"),
    ]


def test_what_is_searched_within_can_be_chosen(index: Index) -> None:
    [hits] = index.search(torch.tensor([[0.0, 1.0]]), 10, ["fused"])
    assert [(hit.score, hit.row) for hit in hits] == [(1, 1), (1, 4), (-1, 8)]  # fewer than 10: all
    [hits] = index.search(torch.tensor([[0.0, 1.0]]), 2, ["sound", "fused", "sound"])
    assert [(hit.modality, hit.row) for hit in hits] == [("fused", 1), ("fused", 4)]
    assert index.search(torch.empty(0, 2), 2) == []


def test_labels_are_said_in_words(toy_registry: Registry) -> None:
    targets = torch.tensor([[1.5, 2.0], [0.25, float("nan")]])
    parts = {"sight": part([[1.0, 0.0], [0.0, 1.0]], [0, 1], targets)}
    [hits] = Index("all", record(sight=2), merged(parts), toy_registry).search(torch.tensor([[1.0, 0.5]]), 2)
    assert [hit.label for hit in hits] == ["1.5, 2", None]


@pytest.mark.parametrize(
    ("query", "k", "within", "told"),
    [
        ([[1.0, 0.0, 0.0]], 1, None, r"queries are \(1, 3\); the index needs \(q, 2\)"),
        ([1.0, 0.0], 1, None, r"queries are \(2,\)"),
        ([[1.0, float("nan")]], 1, None, "not finite"),
        ([[1.0, 0.0]], 0, None, "k is 0; 1 is the least"),
        ([[1.0, 0.0]], 1, ["sigth"], "unknown modality of the index 'sigth'; did you mean 'sight'"),
    ],
)
def test_a_query_that_does_not_fit_is_refused(
    query: list[list[float]], k: int, within: list[str] | None, told: str, index: Index
) -> None:
    with pytest.raises(DataError, match=told):
        index.search(torch.tensor(query), k, within)


def test_the_row_of_a_hit_is_that_of_the_source_as_long_as_no_row_went(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    hit = Hit(1.0, "sight", 4, "test", None)
    for rows in (9, 10):
        index = Index(index.name, index.record, index.parts, index.registry)
        monkeypatch.setattr(ToyRows, "__len__", lambda self, rows=rows: rows)
        assert index.sample(hit) == toy_rows()[4]
    monkeypatch.setattr(ToyRows, "__len__", lambda self: 8)
    with pytest.raises(DataError, match="source 'test' has 8 rows, and had 9 when it was indexed"):
        index.sample(hit)


def test_the_index_that_is_meant_is_opened(toy: tuple[Run, Model], refresh: Update, tmp_path: Path) -> None:
    run, _ = toy
    with pytest.raises(RunError, match=r"run has no index; make one: fusion index .*run --source NAME"):
        Index.open(run)
    refresh()
    assert Index.open(run.folder).name == "test"
    refresh("train", name="other")
    assert Index.open(run, "other").record.source == "train"
    with pytest.raises(RunError, match="run has several indexes; choose one: other, test"):
        Index.open(run)
    with pytest.raises(RunError, match="unknown index 'tset'; did you mean 'test'"):
        Index.open(run, "tset")


def test_an_index_of_another_model_is_refused(
    toy: tuple[Run, Model], refresh: Update, tmp_path: Path, toy_registry: Registry
) -> None:
    refresh()
    other, _ = make(tmp_path / "other", toy_registry, seed=1)
    (other.folder / "index").mkdir()
    refresh().folder.rename(other.folder / "index" / "test")
    with pytest.raises(RunError, match=r"the index 'test' was made by other weights than those of .*other"):
        Index.open(other)


def test_a_damaged_index_is_refused(toy: tuple[Run, Model], refresh: Update) -> None:
    run, _ = toy
    made = refresh()
    held = made.folder / records.file_of(made.record.written[0].files["sound"])
    whole = held.read_bytes()
    held.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(RunError, match=r"is not what was written; delete .*test, and `fusion index`"):
        Index.open(run)
    held.unlink()
    with pytest.raises(RunError, match="No such file or directory; delete"):
        Index.open(run)
    held.write_bytes(whole)
    said = made.folder / "index.json"
    content = json.loads(said.read_text())
    for change in (
        {"width": "8"},
        {"modalities": {"sound": {}}},
        {"more": 1},
        {"source": "../up"},
        {"left_out": "3-1"},
        {"written": [{"rows": "0-11", "files": {}}]},
    ):
        said.write_text(json.dumps({**content, **change}))
        with pytest.raises(RunError, match=f"index.json is damaged: {next(iter(change))}"):
            Index.open(run)
    said.write_text("[" * 10_000)
    with pytest.raises(RunError, match=r"index.json is damaged: it is nested too deep"):
        Index.open(run)


def test_an_index_that_is_updated_while_it_is_opened_is_opened_again(
    toy: tuple[Run, Model], refresh: Update, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh()
    expect_whole, updates = records.expect_whole, [lambda: refresh(remove=range(6))]

    def slow(place: Path, digest: str) -> Path:
        if updates:
            updates.pop()()
        return expect_whole(place, digest)

    monkeypatch.setattr(records, "expect_whole", slow)
    assert Index.open(toy[0]).parts["sight"].rows.tolist() == [6, 7, 8]
    assert updates == []


def test_an_open_index_is_not_changed_by_an_update(toy: tuple[Run, Model], refresh: Update) -> None:
    refresh()
    index = Index.open(toy[0])
    before = index.search(torch.eye(8), 4)
    refresh(remove=[hit.row for hits in before for hit in hits])
    assert index.search(torch.eye(8), 4) == before
    assert Index.open(toy[0]).search(torch.eye(8), 4) != before
