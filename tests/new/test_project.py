"""A new project trains and passes its tests as it is written; its rows are what its page says."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from fusion import Registry, read_recipe, train
from fusion.errors import PluginError, RunError
from fusion.new.rows import RATE
from fusion.new.scaffold import new_project
from tests.new.conftest import Python

HALVES = slice(0, RATE // 4), slice(RATE // 4, RATE // 2)


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("new") / "my-birds"
    written = new_project(folder)
    assert sorted(written) == sorted(path for path in folder.rglob("*") if path.is_file())
    return folder


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_recipe_trains_and_what_never_met_is_found(
    birds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    monkeypatch.chdir(birds)
    run = train(read_recipe("recipe.yaml", registry=registry), tmp_path / "run", registry=registry)
    assert run.metrics["data/bad_rows"] == 0
    assert run.metrics["train/rows/image+text"] == run.metrics["train/rows/text+audio"]
    assert "train/rows/image+text+audio" not in run.metrics
    assert run.metrics["retrieval/image->audio/emergent"] is True
    assert run.metrics["retrieval/audio->image/hit@1"] > 0.5  # chance is a third
    assert run.metrics["subsets/image+audio/accuracy"] > 0.5


def test_its_tests_pass(birds: Path, python: Python) -> None:
    done = python(birds, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_the_tables_are_in_balance_and_their_files_can_be_read(birds: Path) -> None:
    seen, tested = _rows(birds / "data/train.csv"), _rows(birds / "data/test.csv")
    assert [(bool(row["image"]), bool(row["audio"])) for row in seen] == [(True, False)] * 18 + [
        (False, True)
    ] * 18
    assert all(row["image"] and row["audio"] for row in tested)
    for rows in (seen, tested):
        assert [row["label"] for row in rows] == ["0", "1", "2"] * (len(rows) // 3)
        for row in rows:
            assert ("circle", "cross", "bar")[int(row["label"])] in row["text"]
            if row["image"]:
                with Image.open(birds / "data" / row["image"]) as picture:
                    assert picture.size == (32, 32)
            if row["audio"]:
                assert soundfile.info(birds / "data" / row["audio"]).duration == 0.5


def test_tones_stay_fall_and_rise(birds: Path) -> None:
    for row in _rows(birds / "data/test.csv"):
        wave, rate = soundfile.read(birds / "data" / row["audio"])
        assert rate == RATE
        # a tone crosses zero twice in each of its periods
        first, last = (np.count_nonzero(np.diff(wave[half] > 0)) / 2 / 0.25 for half in HALVES)  # Hz
        change = {"0": 0, "1": -150, "2": 150}[row["label"]]  # half of what it moves in its whole length
        assert last - first == pytest.approx(change, abs=8)


def test_two_projects_are_alike(birds: Path, tmp_path: Path) -> None:
    new_project(tmp_path / "other")
    for path in (birds / "data").rglob("*.*"):
        assert (tmp_path / "other/data" / path.relative_to(birds / "data")).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["2birds", "my birds", "-", "bird's"])
def test_a_folder_whose_name_is_none_for_a_package_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PluginError, match=r"is not made of lower-case words.*call the folder something like"):
        new_project(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["class", "json", "torch", "fusion"])
def test_a_package_that_would_hide_another_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PluginError, match=f"'{name}' is already a name of Python or of a module"):
        new_project(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "birds").mkdir()
    (tmp_path / "birds/mine.txt").write_text("kept", "utf-8")
    (tmp_path / "owls").write_text("kept", "utf-8")
    for name in ("birds", "owls"):
        with pytest.raises(RunError, match=f"{name} exists and is not an empty folder"):
            new_project(tmp_path / name)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["birds", "mine.txt", "owls"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "Birds").mkdir()
    assert tmp_path / "Birds/birds/fuser.py" in new_project(tmp_path / "Birds")
