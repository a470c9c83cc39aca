"""A training that is killed again and again ends with the weights of one that was not: benchmarks/kill.py."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill.py"


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_three_kills_change_no_bit(ranks: int) -> None:
    command = [sys.executable, str(SCRIPT), "3", str(ranks)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    kills, saves = re.findall(r"(\d+) kills .*, (\d+) inside a save", done.stdout)[0]
    assert int(kills) >= 3
    assert int(saves) >= 1
