"""A training of three steps that stops after two and goes on, as any logger hears of it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fusion import Followed, Logger

RECIPE = {"name": "digits", "train.lr": 0.5, "init": None, "classes": ["one", "two"]}
FIRST = {1: {"loss": 4.0, "loss/align": 1.5}, 2: {"loss": 3.0, "loss/align": 1.25}}
SECOND = {2: {"loss": 3.0, "loss/align": 1.25}, 3: {"loss": 2.0, "loss/align": 1.0}}
METRICS = {"retrieval/image->audio/hit@1": 0.75, "subsets/image+text/digit/accuracy": 0.5}

Follow = Callable[[Callable[[], Logger]], Path]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts whose addresses were looked for."""
    hosts: list[str] = []

    def refuse(host: Any, *rest: Any, **more: Any) -> Any:
        hosts.append(str(host))
        raise OSError("the network is not to be asked")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    return hosts


@pytest.fixture
def follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str]) -> Iterator[Follow]:
    """Let a logger follow the training; return its folder. It has asked no network."""
    monkeypatch.chdir(tmp_path)
    for name in ("WANDB_MODE", "MLFLOW_TRACKING_URI", "TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_ERROR_REPORTING", "MLFLOW_DISABLE_TELEMETRY"):  # what is set here goes with the test
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    folder = tmp_path / "run-2" / "track" / "it"
    folder.mkdir(parents=True)

    def run(build: Callable[[], Logger]) -> Path:
        stopped = build()
        stopped.begin(Followed("run-2", folder, RECIPE, 0))
        stopped.log(FIRST)
        stopped.end(None)
        resumed = build()
        resumed.begin(Followed("run-2", folder, RECIPE, 1))
        resumed.log(SECOND)
        resumed.end(METRICS)
        return folder

    yield run
    assert asked == []
