"""A hub on loopback, and runs that lie on it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fusion import Run
from tests.hub.standin import Hub, serving

Done = subprocess.CompletedProcess[str]


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def python(hub: Hub, tmp_path: Path) -> Iterator[Callable[..., Done]]:
    """Run Python in a process of its own, whose hub and home are ours."""
    with serving(hub) as address:
        ours = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "hf_mine"}

        def run(*words: object, **more: str) -> Done:
            return subprocess.run(
                [sys.executable, *map(str, words)],
                env={**os.environ, **ours, "HF_HUB_DISABLE_XET": "1", **more},
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )

        yield run


@pytest.fixture
def run(tiny_run: Run, tmp_path: Path) -> Run:
    """A run that may be written into."""
    return Run(shutil.copytree(tiny_run.folder, tmp_path / "run"))
