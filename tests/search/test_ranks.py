"""Two processes divide what is to be encoded, and leave the index that one leaves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fusion import Registry
from tests.search.conftest import make

pytestmark = pytest.mark.slow


def test_two_processes_leave_what_one_leaves(tmp_path: Path, toy_registry: Registry) -> None:
    found = []
    for processes in (1, 2):
        run, _ = make(tmp_path / str(processes), toy_registry)
        command = [sys.executable]
        if processes > 1:
            command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        done = subprocess.run(
            [*command, "-m", "tests.search.launched", str(run.folder)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        )
        assert done.returncode == 0, done.stderr
        files = sorted((run.folder / "index" / "test").iterdir())
        told = json.loads((run.folder / "told.json").read_text())
        found.append((told, {path.name: path.read_bytes() for path in files}))
    (told, alone), (told_by_two, several) = found
    assert told == [[11, 0, 11, [], [10]], [0, 2, 9, [4, 5], [10]], [1, 0, 10, [4], [10]]]
    assert told_by_two == told
    assert several == alone
