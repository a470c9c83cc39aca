"""A run that is exported once, in both formats."""

from pathlib import Path

import pytest

from fusion import Registry, Run
from fusion.export.export import Exported, export


@pytest.fixture(scope="session", params=["onnx", "torch"])
def exported(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    tiny_run: Run,
    registry: Registry,
) -> Exported:
    """The tiny run in one of the formats. Do not write into its folder."""
    out: Path = tmp_path_factory.mktemp("exports") / request.param
    return export(tiny_run, request.param, out, registry=registry)
