"""Running Python where a folder was written, as somebody does who has just written it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Python = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def python() -> Python:
    def run(folder: Path, *arguments: str, path: str = "") -> "subprocess.CompletedProcess[str]":
        paths = [part for part in (path, os.environ.get("PYTHONPATH", "")) if part]
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run
