"""One, two and three processes measure and write the same, also after one was killed."""

import json
import shutil
import signal
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.evaluation.toys import toy_rows
from tests.processes import start

pytestmark = pytest.mark.slow


def launch(processes: int, folder: Path, **environment: str) -> CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    return start(processes, "tests.evaluation.launched", str(folder), **environment)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process leaves, the first of which was killed when it read row 7."""
    folder: Path = tmp_path_factory.mktemp("ranks") / "one"
    assert launch(1, folder, KILL="7").returncode == -signal.SIGKILL
    assert sorted(path.name for path in (folder / "parts").iterdir()) == [
        ".part-00003-of-00006.parquet.partial",
        *(f"part-{number:05}-of-00006.parquet" for number in range(3)),
    ]
    shutil.copytree(folder, folder.with_name("begun"))
    done = launch(1, folder)
    assert done.returncode == 0, done.stderr
    return folder


def told(folder: Path) -> Any:
    return json.loads((folder / "told.json").read_text())


def test_what_a_killed_process_left_is_kept_and_the_rest_added(one: Path) -> None:
    rows, bad, parts, kept = told(one)["embedded"]
    assert (rows, [row[:2] for row in bad], parts, kept) == (11, [["test", 10]], 6, 3)
    columns = pq.read_table(one / "parts").to_pydict()
    assert columns["row"] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11]
    for name in ("sight", "sound", "text"):
        have = [name in toy_rows()[row] for row in columns["row"]]
        assert [vector is not None for vector in columns[name]] == have


@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes_do_what_one_does(processes: int, one: Path, tmp_path: Path) -> None:
    folder = tmp_path / "several"
    begun = processes == 3  # three go on where one was killed
    if begun:
        shutil.copytree(one.with_name("begun"), folder)
    done = launch(processes, folder)
    assert done.returncode == 0, done.stderr
    alone, several = told(one), told(folder)
    assert len(alone["measured"]) == 5
    assert {"foreign/odd/sight/distance", "subsets/sight/colour/calibrated/nll"} <= {*alone["measured"][3]}
    assert min(map(len, alone["measured"])) > 30
    assert "contribution/sight/colour/absolute" in alone["measured"][0]
    assert several["measured"] == alone["measured"]
    assert several["embedded"] == [*alone["embedded"][:3], 3 if begun else 0]
    paths = sorted((folder / "parts").iterdir())
    assert [path.name for path in paths] == [path.name for path in sorted((one / "parts").iterdir())]
    for path in paths:
        assert path.read_bytes() == (one / "parts" / path.name).read_bytes()
    assert several["refused"].endswith("one file; give a folder, to which several processes can write parts")
    assert alone["refused"] == ""
