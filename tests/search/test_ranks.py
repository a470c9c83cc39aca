"""Two processes divide what is to be encoded, and leave the index that one leaves."""

import json
from pathlib import Path

import pytest

from fusion import Registry
from tests.processes import start
from tests.search.conftest import make

pytestmark = pytest.mark.slow


def test_two_processes_leave_what_one_leaves(tmp_path: Path, toy_registry: Registry) -> None:
    found = []
    for processes in (1, 2):
        run, _ = make(tmp_path / str(processes), toy_registry)
        done = start(processes, "tests.search.launched", str(run.folder))
        assert done.returncode == 0, done.stderr
        files = sorted((run.folder / "index" / "test").iterdir())
        told = json.loads((run.folder / "told.json").read_text())
        found.append((told, {path.name: path.read_bytes() for path in files}))
    (told, alone), (told_by_two, several) = found
    assert told == [[11, 0, 11, "", [10]], [0, 2, 9, "4-5", [10]], [1, 0, 10, "4", [10]]]
    assert told_by_two == told
    assert several == alone
