"""Two processes measure under stress what one does."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def launched(processes: int, file: Path) -> Any:
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run(
        [*command, "-m", "tests.stress.launched", str(file)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
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
