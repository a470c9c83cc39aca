"""fusion cache: what is there, whether it is whole, and away with it."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fusion import Registry, Run, read_recipe, train
from fusion.cache.folder import Folder
from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Path:
    """The cache that a training leaves; do not change it."""
    place = tmp_path_factory.mktemp("filled")
    overrides = [
        *("train.steps=12", "train.batch=64", "evaluate.sources={}", "evaluate.zero_shot=null", "init=null"),
        *(
            "sources={all: {name: digits, limit: 300}}",
            "augment={}",
            "objectives={align: {name: contrastive}}",
        ),
        *(f"encoders.{name}.tune={{mode: frozen}}" for name in ("image", "text")),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUSION_CACHE", str(place / "cache"))
        run: Run = train(read_recipe("bind_digits", overrides, registry), place / "run", registry=registry)
    assert run.manifest["cache"]["image"]["rows"] == 300
    return place / "cache"


@pytest.fixture
def cache(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    import shutil

    shutil.copytree(filled, tmp_path / "cache")
    monkeypatch.setenv("FUSION_CACHE", str(tmp_path / "cache"))
    return Folder.found()


def test_entries_are_listed(fusion: Fusion, cache: Folder) -> None:
    lines = fusion("cache", "ls").out.splitlines()
    assert lines[0].split() == ["entry", "of", "source", "made", "by", "rows", "size", "used"]
    listed = {" ".join(line.split()[1:-3]) for line in lines[1:3]}
    assert listed == {
        "image digits scratch-image in float32 300",
        "text digits scratch-text in float32 300",
    }
    assert lines[-1].startswith("2 entries, ")
    assert lines[-1].endswith(f" of 50.0 GB in {cache.path}")
    assert fusion("cache").out == "\n".join(lines) + "\n"


def test_entries_as_json(fusion: Fusion, cache: Folder) -> None:
    found = fusion("cache", "ls", "--json").json
    assert (found["folder"], found["limit"]) == (str(cache.path), 50 * 10**9)
    assert {entry["key"]["modality"] for entry in found["entries"]} == {"image", "text"}
    assert [entry["bytes"] for entry in found["entries"]] == [entry.bytes for entry in cache]


def test_a_whole_cache_is_verified_and_a_damaged_one_is_told_and_mended(
    fusion: Fusion, cache: Folder
) -> None:
    assert fusion("cache", "verify") == Outcome(0, "every entry is as it was written\n", "")
    harmed, whole = cache
    file = harmed.folder / "pooled-0.npy"
    content = file.read_bytes()
    file.write_bytes(content[:200] + bytes([content[200] ^ 4]) + content[201:])
    found = fusion("cache", "verify")
    assert (found.code, found.out) == (1, "")
    assert found.err == (
        f"error: {harmed.folder} is damaged: pooled-0.npy; deleted, the next training computes it anew\n"
    )
    assert [entry.name for entry in cache] == [whole.name]


def test_a_damaged_record_is_listed(fusion: Fusion, cache: Folder) -> None:
    (next(iter(cache)).folder / "entry.json").write_text("{")
    assert "is damaged: " in fusion("cache", "ls").out
    assert "is damaged: " in fusion("cache", "ls", "--json").json["entries"][0]["fault"]


def test_what_is_old_is_cleared_and_then_all_that_is_not_in_use(fusion: Fusion, cache: Folder) -> None:
    first, second = cache
    long_ago = time.time() - 10 * 86_400
    os.utime(second.folder / "used", (long_ago, long_ago))
    assert "10 days ago" in fusion("cache", "ls").out
    assert fusion("cache", "clear", "--older", 11).out == "0 entries deleted, 0 bytes\n"
    assert fusion("cache", "clear", "--older", 9).out.startswith("1 entries deleted, ")
    assert [entry.name for entry in cache] == [first.name]
    assert first.hold()
    assert fusion("cache", "clear").out == "0 entries deleted, 0 bytes\n1 are in use\n"
    first.release()
    assert fusion("cache", "clear").out.startswith("1 entries deleted, ")
    assert fusion("cache", "ls").out.endswith(f"0 entries, 0 bytes of 50.0 GB in {cache.path}\n")


def test_a_wrong_limit_is_told(fusion: Fusion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSION_CACHE_LIMIT", "much")
    found = fusion("cache")
    assert found.code == 1
    assert found.err.startswith("error: FUSION_CACHE_LIMIT is 'much'; write it as a size")
