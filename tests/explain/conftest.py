"""A row of the tiny run's evaluation."""

from typing import Any

import pytest

from fusion import Registry, Run
from fusion.build import build_sources


@pytest.fixture(scope="session")
def row(tiny_run: Run, registry: Registry) -> dict[str, Any]:
    [source] = build_sources(tiny_run.recipe.evaluate.sources, registry).values()
    return {name: source[3][name] for name in ("image", "text", "audio")}
