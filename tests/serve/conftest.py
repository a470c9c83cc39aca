"""A service over the tiny run, with rows of three modalities as JSON has them."""

import base64
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from accelerate import Accelerator
from PIL import Image
from starlette.testclient import TestClient

from fusion import Predictor, Registry, Run, load
from fusion.search import Index
from fusion.search.update import update
from fusion.serve.api import Service, build
from fusion.serve.limits import Limits

Start = Callable[..., TestClient]


@pytest.fixture(scope="session")
def predictor(tiny_run: Run, registry: Registry) -> Predictor:
    """One with a temperature for sounds alone."""
    predictor = load(tiny_run, "cpu", registry)
    predictor.temperatures = {"audio/digit": 2.0, "image+text/digit": 0.5}
    return predictor


@pytest.fixture(scope="session")
def index(
    predictor: Predictor, tiny_run: Run, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Index:
    run = Run(Path(shutil.copytree(tiny_run.folder, tmp_path_factory.mktemp("indexed") / "run")))
    options = {"name": "test", "kind": "exact"}
    update(run, predictor.model, run.recipe, "test", registry, Accelerator(cpu=True), **options)  # type: ignore[arg-type]
    return Index.open(run, registry=registry)


@pytest.fixture(scope="session")
def rows() -> list[dict[str, Any]]:
    """Nine rows as a predictor takes them: every subset of three modalities, and two more."""
    rng = np.random.default_rng(0)
    subsets = ["i", "t", "a", "it", "ia", "ta", "ita", "t", "i"]
    return [
        {name: sample(name, number, rng) for name in NAMES if name[0] in s}
        for number, s in enumerate(subsets)
    ]


NAMES = ("image", "text", "audio")


def sample(name: str, number: int, rng: np.random.Generator) -> Any:
    file = io.BytesIO()
    if name == "text":
        return f"the digit {number}" + " again" * number
    if name == "image":
        Image.fromarray(rng.integers(0, 256, (9, 9), np.uint8)).save(file, format="PNG")
    else:
        soundfile.write(file, rng.uniform(-1, 1, 2000 + 300 * number), 8000, format="WAV")
    return file.getvalue()


def sent(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as JSON has it."""
    return {
        name: {"base64": base64.b64encode(one).decode()} if isinstance(one, bytes) else one
        for name, one in row.items()
    }


@pytest.fixture
def start(predictor: Predictor) -> Iterator[Start]:
    """`start(limits, ...)` gives a client of a service."""
    entered: list[TestClient] = []

    def begin(limits: Limits | None = None, **options: Any) -> TestClient:
        service = Service(options.pop("predictor", predictor), limits, **options)
        client = TestClient(build(service))
        client.service = service  # type: ignore[attr-defined]
        entered.append(client.__enter__())
        return client

    yield begin
    for client in entered:
        client.__exit__(None, None, None)
