"""The folder keeps within its limit, deletes what was not used for longest, and knows its place."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fusion import RunError
from fusion.cache.entry import Entry
from fusion.cache.folder import Folder, size

Make = Callable[..., Entry]


def test_it_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("FUSION_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert Folder.found().path == tmp_path / ".cache" / "fusion" / "features"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert Folder.found().path == tmp_path / "xdg" / "fusion" / "features"
    monkeypatch.setenv("FUSION_CACHE", "~/mine")
    assert Folder.found().path == tmp_path / "mine"


@pytest.mark.parametrize(
    ("given", "limit"),
    [("", 50 * 10**9), ("12", 12), ("1.5 GB", 1_500_000_000), ("500mb", 500_000_000), ("2T", 2 * 10**12)],
)
def test_the_limit_is_a_size(given: str, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSION_CACHE_LIMIT", given)
    assert Folder.found().limit == limit


@pytest.mark.parametrize("given", ["much", "-1", "1 PB", "GB"])
def test_a_limit_that_is_none_is_an_error(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSION_CACHE_LIMIT", given)
    with pytest.raises(
        RunError, match=rf"FUSION_CACHE_LIMIT is '{given}'; write it as a size, such as 50 GB"
    ):
        Folder.found()


def test_room_is_made_by_deleting_what_was_not_used_for_longest(make: Make, folder: Folder) -> None:
    entries = {name: make(name, used) for name, used in (("b", 200.0), ("a", 100.0), ("c", 300.0))}
    size = {name: entry.bytes for name, entry in entries.items()}  # they differ by digits of their records
    assert [entry.name for entry in folder] == ["c", "b", "a"]
    tight = Folder(folder.path, sum(size.values()))
    assert tight.make_room(1).given
    assert [entry.name for entry in tight] == ["c", "b"]
    assert entries["b"].hold()
    assert tight.make_room(size["a"] + size["c"]).given
    assert [entry.name for entry in tight] == ["b"]
    room = tight.make_room(size["a"] + size["c"] + 1)
    assert not room.given
    assert "other trainings use what fills the" in room.reason
    assert [entry.name for entry in tight] == ["b"]
    assert "FUSION_CACHE_LIMIT allows" in tight.make_room(sum(size.values()) + 1).reason


def test_a_full_disk_has_no_room(folder: Folder) -> None:
    room = Folder(folder.path, 10**30).make_room(10**29)
    assert not room.given
    assert f"and {folder.path} has " in room.reason


def test_what_a_killed_training_left_is_swept_away_and_what_one_writes_is_not(folder: Folder) -> None:
    left, written = folder.stage("a"), folder.stage("a")
    left.release()
    bare = folder.path / ".c"  # killed before the file was there by which it is held, or after it was gone
    bare.mkdir()
    (bare / "pooled-0.npy").touch()
    fresh = folder.stage("b")
    assert {path.name for path in folder.path.iterdir()} == {written.name, fresh.name}
    assert list(folder) == []


def test_sizes_are_told_in_words() -> None:
    given = [0, 999, 1000, 1_234_567, 50 * 10**9, 2.5e12]
    assert [size(count) for count in given] == [
        "0 bytes",
        "999 bytes",
        "1.0 KB",
        "1.2 MB",
        "50.0 GB",
        "2.5 TB",
    ]
