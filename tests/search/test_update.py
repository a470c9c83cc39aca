"""What an index holds after an update: the rows of the source, but for those that are left out."""

import fcntl
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fusion import DataError, Model, Predictor, Registry, Run, RunError
from fusion.evaluation.embed import embed
from fusion.search import Index
from fusion.search import part as parts
from fusion.search import record as records
from fusion.search import update as updating
from tests.evaluation import toys
from tests.search.conftest import Update, make

SIGHT, SOUND = [0, 1, 2, 3, 4, 5, 6, 7, 8], [0, 2, 4, 6, 8]
TEXT = [0, 1, 2, 3, 4, 6, 7, 8, 9, 11]
ALL = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11]  # 10 cannot be read


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def expect_alike(run: Run, whole: Index) -> None:
    """An index is a function of its rows, not of how it came to them; batches of other sizes round apart."""
    found = Index.open(run, whole.name)
    assert found.modalities == whole.modalities
    same = {"written": [], "modalities": {}}
    assert found.record.model_copy(update=same) == whole.record.model_copy(update=same)
    for name, part in whole.parts.items():
        assert torch.equal(found.parts[name].rows, part.rows)
        assert torch.equal(found.parts[name].targets, part.targets)
        torch.testing.assert_close(found.parts[name].vectors, part.vectors)


def rows(run: Run, name: str = "test") -> dict[str, list[int]]:
    return {modality: part.rows.tolist() for modality, part in Index.open(run, name).parts.items()}


def test_every_modality_that_a_row_has_has_its_vector(
    toy: tuple[Run, Model], refresh: Update, predictor: Predictor
) -> None:
    made = refresh()
    assert (made.added, made.gone, made.rows, [bad.row for bad in made.bad]) == (11, 0, 11, [10])
    assert rows(toy[0]) == {"sight": SIGHT, "sound": SOUND, "text": TEXT, "fused": ALL}
    index = Index.open(toy[0])
    for row in ALL:
        given = {
            name: toys.toy_rows()[row][name]
            for name in ("sight", "sound", "text")
            if name in toys.toy_rows()[row]
        }
        encoded = predictor.encode(given)
        expected = {name: encoded.vectors[name][0] for name in given}
        expected["fused"] = F.normalize(encoded.fused)[0]
        for name, vector in expected.items():
            [place] = (index.parts[name].rows == row).nonzero().flatten().tolist()
            torch.testing.assert_close(index.parts[name].vectors[place], vector)
            assert int(index.parts[name].targets[place]) == toys.toy_rows()[row].get("label", -100)
    held = made.record.modalities
    assert {name: (one.vectors, one.kind, one.recall) for name, one in held.items()} == {
        "sight": (9, "exact", 1.0),
        "sound": (5, "exact", 1.0),
        "text": (10, "exact", 1.0),
        "fused": (11, "exact", 1.0),
    }


def test_the_same_update_again_changes_no_byte(refresh: Update) -> None:
    before = files(refresh(remove=[3]).folder)
    again = refresh()
    assert (again.added, again.gone, again.rows) == (0, 0, 10)
    assert files(again.folder) == before
    assert refresh(remove=[3]).gone == 0
    assert files(again.folder) == before
    assert sorted(before) == sorted(["index.json", *map(records.file_of, again.record.digests)])
    assert len(before) == 5


def test_what_is_left_out_stays_out_until_it_is_added(toy: tuple[Run, Model], refresh: Update) -> None:
    refresh()
    whole = Index.open(toy[0])
    made = refresh(remove=[4, 11, 10])
    assert (made.added, made.gone, made.rows, made.record.left_out, made.bad) == (0, 2, 9, "4,10-11", [])
    assert refresh().rows == 9
    assert rows(toy[0])["sound"] == [0, 2, 6, 8]
    back = refresh(add=[11, 4, 10])
    assert (back.added, back.gone, back.rows) == (2, 0, 11)
    expect_alike(toy[0], whole)


def test_rows_that_the_source_gets_are_added_and_those_that_it_loses_go(
    toy: tuple[Run, Model], refresh: Update, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh()
    whole = Index.open(toy[0])
    monkeypatch.setattr(toys.ToyRows, "__len__", lambda self: 7)
    told: list[str] = []
    made = refresh(say=told.append)
    assert (made.added, made.gone, made.rows, made.record.rows) == (0, 4, 7, 7)
    assert [one.rows for one in made.record.written] == ["0-6"]
    assert ["test has 7 rows, and had 12" in line for line in told] == [True]
    assert rows(toy[0])["text"] == [0, 1, 2, 3, 4, 6]
    read: list[int] = []
    original = toys.ToyRows.__getitem__
    monkeypatch.setattr(
        toys.ToyRows, "__getitem__", lambda self, index: read.append(index) or original(self, index)
    )
    monkeypatch.setattr(toys.ToyRows, "__len__", lambda self: 12)
    assert refresh().added == 4
    assert {7, 8, 9, 10, 11} == set(read)
    expect_alike(toy[0], whole)


def test_a_row_that_changed_is_encoded_again_when_it_is_added(
    toy: tuple[Run, Model], refresh: Update, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh()
    before = Index.open(toy[0]).parts["sight"].vectors
    changed = [
        {**row, **({"sight": "2"} if number == 0 else {})} for number, row in enumerate(toys.toy_rows())
    ]
    monkeypatch.setattr(toys, "toy_rows", lambda: changed)
    assert refresh().added == 0
    assert refresh(add=[0]).added == 1
    after = Index.open(toy[0]).parts["sight"].vectors
    torch.testing.assert_close(after[0], before[2])
    assert torch.equal(after[1:], before[1:])


def test_a_modality_that_is_left_out_everywhere_cannot_be_searched(
    toy: tuple[Run, Model], refresh: Update
) -> None:
    refresh(remove=SOUND)
    index = Index.open(toy[0])
    assert index.modalities == ["sight", "text", "fused"]
    with pytest.raises(DataError, match="unknown modality of the index 'sound'"):
        index.search(torch.eye(8), 1, ["sound"])
    refresh(remove=range(12))
    assert Index.open(toy[0]).modalities == []
    assert Index.open(toy[0]).search(torch.eye(8), 1) == [[]] * 8
    assert refresh(add=[2]).rows == 1


@pytest.mark.parametrize("kind", ["int8", "ivf", "hnsw"])
def test_a_kind_stays_until_another_is_asked_for(kind: Any, toy: tuple[Run, Model], refresh: Update) -> None:
    refresh()
    found = Index.open(toy[0]).search(torch.eye(8), 30, ["text"])
    assert {one.kind for one in refresh(kind=kind).record.modalities.values()} == {kind}
    made = refresh(remove=[1])
    assert (made.record.kind, {one.kind for one in made.record.modalities.values()}) == (kind, {kind})
    refresh(add=[1])
    again = Index.open(toy[0]).search(torch.eye(8), 30, ["text"])
    assert [[round(hit.score, 5) for hit in hits] for hits in again] == [
        [round(hit.score, 5) for hit in hits] for hits in found
    ]
    assert {one.kind for one in refresh(kind="auto").record.modalities.values()} == {"exact"}


def test_from_many_rows_on_lists_are_looked_through(refresh: Update, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updating, "MANY", 12)
    assert refresh().record.modalities["fused"].kind == "ivf"
    monkeypatch.setattr(updating, "MANY", 13)
    assert refresh().record.modalities["fused"].kind == "exact"


def test_without_faiss_nothing_is_encoded(refresh: Update, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    monkeypatch.setattr(updating, "embed", None)
    with pytest.raises(RunError, match=r"pip install 'fusion-bind\[search\]'"):
        refresh(kind="hnsw")


def test_a_kill_leaves_the_index_and_what_was_encoded(
    toy: tuple[Run, Model], refresh: Update, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first time before anything is there, then when all is encoded, and in each write after that."""
    monkeypatch.setattr(updating, "embed", partial(embed, each=4))
    original = toys.ToyRows.__getitem__

    def die(self: toys.ToyRows, index: int) -> Any:
        if index == 9:
            raise KeyboardInterrupt
        read.append(index)
        return original(self, index)

    read: list[int] = []
    monkeypatch.setattr(toys.ToyRows, "__getitem__", die)
    with pytest.raises(KeyboardInterrupt):
        refresh()
    with pytest.raises(RunError, match="has no index"):
        Index.open(toy[0])
    monkeypatch.setattr(
        toys.ToyRows, "__getitem__", lambda self, index: read.append(index) or original(self, index)
    )
    read.clear()
    made = refresh()
    assert (made.added, set(read)) == (11, {8, 9, 10, 11})  # of the two parts before nothing is read again
    before, change = files(made.folder), {"remove": [0], "add": [1], "kind": "int8"}
    steps = ((parts, "write"), (records, "write"))
    kills = 0
    for stop in range(20):
        done: list[str] = []

        def dying(write: Callable[..., Any], *given: Any, stop: int = stop, done: list[str] = done) -> Any:
            if len(done) == stop:
                raise KeyboardInterrupt
            done.append("")
            return write(*given)

        with monkeypatch.context() as patch:
            for module, name in steps:
                patch.setattr(module, name, partial(dying, getattr(module, name)))
            try:
                refresh(**change)
                break
            except KeyboardInterrupt:
                kills += 1
        assert rows(toy[0])["fused"] == ALL
        assert {name: content for name, content in files(made.folder).items() if name in before} == before
    assert kills == 3 + 4 + 1  # the vectors of row 1, bytes of all modalities, and what the index says
    assert rows(toy[0])["fused"] == ALL[1:]
    # and nothing else is left; what is seen and what is read of row 1 are one file, as they are the same
    assert len(list(made.folder.iterdir())) == 4 + 2 + 4 + 1


def test_an_update_writes_the_new_vectors_alone(
    toy: tuple[Run, Model], refresh: Update, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toys.ToyRows, "__len__", lambda self: 9)
    before = files(refresh().folder)
    monkeypatch.undo()
    made = refresh(remove=[2])
    after = files(made.folder)
    assert [one.rows for one in made.record.written] == ["0-1,3-8", "9,11"]
    new = after.keys() - before.keys()
    assert (len(before), len(new), before.keys() - after.keys()) == (5, 2, set())  # a text, and what is fused
    assert {name: after[name] for name in before if name != "index.json"} == {
        name: content for name, content in before.items() if name != "index.json"
    }
    assert [parts.read(made.folder / name, 8).rows.tolist() for name in sorted(new)] == [[9, 11]] * 2
    emptied = refresh(remove=[9, 11])
    assert [one.rows for one in emptied.record.written] == ["0-1,3-8"]
    assert len(files(emptied.folder)) == 5


@pytest.mark.parametrize("kind", ["exact", "int8"])
def test_after_any_updates_an_index_is_what_a_new_one_is(
    kind: Any, toy: tuple[Run, Model], refresh: Update, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    segments = set()
    for count, changed in ((7, 0), (9, 0), (10, 0), (10, 1), (8, 3), (12, 1), (12, 2), (12, 1)):
        monkeypatch.setattr(toys.ToyRows, "__len__", lambda self, count=count: count)
        add, remove = np.split(random.permutation(count)[:changed], [int(random.integers(0, changed + 1))])
        segments.add(len(refresh(add=add, remove=remove, kind=kind).record.written))
    assert segments >= {1, 2, 3}
    left_out = refresh().record.left_out
    refresh(name="new", remove=[row for row in range(12) if row not in rows(toy[0])["fused"]], kind=kind)
    whole, found = Index.open(toy[0], "new"), Index.open(toy[0], "test")
    assert set(left_out.split(",")) <= set(whole.record.left_out.split(","))
    assert (list(found.parts), list(found.kept)) == (list(whole.parts), list(whole.kept))
    for name in whole.parts:
        for one, other in zip(found.parts[name], whole.parts[name], strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    for one, other in zip(*(index.search(torch.eye(8), 12) for index in (found, whole)), strict=True):
        assert [(hit.row, hit.modality) for hit in one] == [(hit.row, hit.modality) for hit in other]


def test_one_update_runs_at_a_time(toy: tuple[Run, Model], refresh: Update) -> None:
    made = refresh()
    handle = os.open(made.folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(RunError, match=r"test is being updated by another process; wait for its end"):
        refresh()
    os.close(handle)
    assert refresh().rows == 11


def test_what_does_not_fit_is_refused(
    toy: tuple[Run, Model], refresh: Update, tmp_path: Path, toy_registry: Registry
) -> None:
    with pytest.raises(DataError, match="unknown source 'tset'; did you mean 'test'"):
        refresh("tset")
    for option in ("add", "remove"):
        with pytest.raises(DataError, match="source 'test' has rows 0 to 11, and no row 12"):
            refresh(**{option: [12]})
    refresh()
    with pytest.raises(
        RunError, match=r"the index 'test' is of 'test' with another source; give this one another"
    ):
        refresh("train", name="test")
    run, model = make(tmp_path / "other", toy_registry, seed=1)
    (run.folder / "index").mkdir()
    (toy[0].folder / "index" / "test").rename(run.folder / "index" / "test")
    with pytest.raises(RunError, match="'test' was made by other weights"):
        updating.update(run, model, run.recipe, "test", toy_registry, updating.Accelerator())


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "", " "])
def test_a_name_that_leads_elsewhere_is_refused(name: str, toy: tuple[Run, Model], refresh: Update) -> None:
    if name:
        with pytest.raises(RunError, match="an index cannot be called"):
            refresh(name=name)
        assert not (toy[0].folder / "index").exists()
    else:  # as without
        assert refresh(name=name).folder.name == "test"


def test_a_row_with_nothing_in_it_is_no_row_of_the_index(
    toy: tuple[Run, Model], refresh: Update, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toys, "toy_rows", lambda: [{"label": 1}] * 12)
    made = refresh()
    assert (made.added, made.rows, made.bad, made.record.modalities) == (0, 0, [], {})
    monkeypatch.undo()
    assert refresh().added == 11


def test_vectors_that_are_not_finite_are_refused(toy: tuple[Run, Model], refresh: Update) -> None:
    with torch.no_grad():
        toy[1].align["text"].project.weight.fill_(float("nan"))
    with pytest.raises(DataError, match="row 0: its vector of text holds numbers that are not finite"):
        refresh()
