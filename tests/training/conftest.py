"""A toy plugin with three modalities, and commands in other processes that have it."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from fusion import Registry

FOLDER = Path(__file__).parent / "toy"

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fusion_toy", FOLDER / "fusion_toy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def registry(toy: ModuleType) -> Registry:
    return Registry(plugins={"toy": toy})


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that makes the toy plugin an installed one, without pip, when it is on PYTHONPATH."""
    site = tmp_path_factory.mktemp("site")
    info = site / "fusion_toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fusion-toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fusion]\ntoy = fusion_toy\n")
    return site


@pytest.fixture(scope="session")
def python(installed: Path) -> Command:
    """Run python with arguments in a process that has the toy plugin."""

    def run(*arguments: str, timeout: float = 120, **env: str) -> "subprocess.CompletedProcess[str]":
        paths = [str(FOLDER), str(installed), os.environ.get("PYTHONPATH", "")]
        return subprocess.run(
            [sys.executable, *arguments],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def torchrun(python: Command) -> Command:
    """Start processes that train together."""

    def run(processes: int, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
        launcher = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}")
        return python(*launcher, *arguments, **env)

    return run
