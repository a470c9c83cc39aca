"""A toy plugin with three modalities, recipes of a second with it, and commands in other processes."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor

from fusion import Recipe, Registry, Run

FOLDER = Path(__file__).parent / "toy"

Command = Callable[..., "subprocess.CompletedProcess[str]"]
Make = Callable[..., Recipe]


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
def recipe() -> Make:
    """Build a recipe in which no row has an image and a sound; changes are dotted: {"train.steps": 3}."""

    def build(changes: dict[str, Any] | None = None) -> Recipe:
        data: dict[str, Any] = {
            "name": "toy",
            "sources": {
                "seen": {"name": "toy", "view": ["image", "text"], "weight": 2},
                "heard": {"name": "toy", "view": ["text", "audio"], "rows": 17},
            },
            "encoders": {name: {"name": f"toy-{name}"} for name in ("image", "text", "audio")},
            "augment": {name: [{"name": "toy-noise"}] for name in ("image", "text", "audio")},
            "width": 8,
            "fuser": {"name": "attend", "heads": 2, "layers": 1, "dropout": 0.1, "modality_dropout": 0.3},
            "objectives": {
                "align": {"name": "contrastive", "hub": "text"},
                "kind": {"name": "classify", "classes": 3},
            },
            "train": {"steps": 8, "batch": 6, "lr": 0.01, "log_every": 1},
        }
        for path, value in (changes or {}).items():
            *parents, last = path.split(".")
            section = data
            for parent in parents:
                section = section[parent]
            section[last] = value
        return Recipe(**data)

    return build


@pytest.fixture(scope="session")
def lines() -> Callable[[Run], list[dict[str, float]]]:
    """Read what a run wrote for every step."""

    def read(run: Run) -> list[dict[str, float]]:
        text = (run.folder / "metrics.jsonl").read_text("utf-8")
        return [json.loads(line) for line in text.splitlines()]

    return read


@pytest.fixture(scope="session")
def weights() -> Callable[[Run], dict[str, Tensor]]:
    def read(run: Run) -> dict[str, Tensor]:
        return load_file(run.model_file)

    return read


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
