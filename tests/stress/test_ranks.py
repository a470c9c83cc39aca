"""Two processes measure under stress what one does."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.processes import start

pytestmark = pytest.mark.slow


def launched(processes: int, file: Path) -> Any:
    done = start(processes, "tests.stress.launched", str(file))
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text())


def test_two_processes_measure_what_one_does(tmp_path: Path) -> None:
    one, two = (launched(processes, tmp_path / f"{processes}.json") for processes in (1, 2))
    assert [(record["rows"], record["bad_rows"], len(record["points"])) for record in one] == [
        (16, 2, 6),
        (11, 1, 6),
        (17, 2, 1),
        (17, 2, 6),
    ]
    assert all(len(point["metrics"]) > 20 for record in one for point in record["points"])
    assert two == one
