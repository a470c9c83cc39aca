"""An entry is whole or not there, says what is wrong with it, and is not deleted while it is used."""

import json
import pickle
from collections.abc import Callable

import pytest

from fusion.cache.entry import Entry
from fusion.cache.folder import Folder

Make = Callable[..., Entry]


def test_an_entry_says_what_it_is_and_has_its_files_in_order(make: Make) -> None:
    entry = make("a")
    assert entry.record["rows"] == 200
    assert entry.record["key"]["source"] == {"name": "photos"}
    assert [path.name for path in entry.parts("pooled")] == ["pooled-0.npy", "pooled-1.npy"]
    assert [path.name for path in entry.parts("faults")] == ["faults-0.json", "faults-1.json"]
    assert entry.parts("tokens") == []
    assert entry.fault() is None


def test_parts_are_in_the_order_of_numbers_not_of_letters(make: Make) -> None:
    entry = make("a")
    record = entry.record
    record["files"] |= {f"pooled-{number}.npy": "" for number in range(2, 12)}
    names = [path.name for path in entry.parts("pooled")]
    assert names == [f"pooled-{number}.npy" for number in range(12)]


@pytest.mark.parametrize("file", ["pooled-0.npy", "pooled-1.npy", "faults-0.json"])
def test_any_flipped_bit_is_found_by_the_process_that_looks_at_its_file(make: Make, file: str) -> None:
    entry = make("a")
    path = entry.folder / file
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 128]))
    assert entry.fault() == f"is damaged: {file}"
    found = [entry.fault(part, 3) for part in range(3)]
    assert sorted(found, key=str) == sorted([f"is damaged: {file}", None, None], key=str)
    path.unlink()
    assert str(entry.fault()).startswith("is damaged: [Errno 2] No such file")


@pytest.mark.parametrize("record", ["", "[]", '{"key": {}}', '{"key": {}, "rows": 1, "files": [1]}'])
def test_a_damaged_record_is_a_fault(make: Make, record: str) -> None:
    entry = make("a")
    (entry.folder / "entry.json").write_text(record)
    assert str(Entry(entry.folder).fault()).startswith("is damaged: ")


def test_what_is_held_is_not_deleted_and_what_is_let_go_is(make: Make, folder: Folder) -> None:
    entry = make("a")
    ours, theirs = Entry(entry.folder), Entry(entry.folder)
    assert ours.hold()
    assert theirs.hold()
    assert not entry.remove()
    ours.release()
    assert not entry.remove()
    del theirs
    assert entry.remove()
    assert not entry.folder.exists()
    assert not entry.hold()
    assert not entry.remove()


def test_a_damaged_entry_is_deleted_even_if_it_is_held(make: Make) -> None:
    entry = make("a")
    other = Entry(entry.folder)
    assert other.hold()
    assert entry.remove(damaged=True)
    assert not entry.folder.exists()


def test_an_entry_that_another_process_has_finished_stays(make: Make, folder: Folder) -> None:
    first = make("a", rows=3)
    written = json.loads((first.folder / "entry.json").read_text())
    make("a", rows=3)
    assert json.loads((first.folder / "entry.json").read_text()) == written
    assert [path.name for path in folder.path.iterdir()] == ["a"]


def test_an_entry_travels_to_workers_without_its_lock(make: Make) -> None:
    entry = make("a")
    assert entry.hold()
    assert pickle.loads(pickle.dumps(entry)).folder == entry.folder
