"""The data that recipes read, made up."""

from pathlib import Path

import pytest

from tests.recipes.packs import write


@pytest.fixture(scope="session")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("packs"))


@pytest.fixture(autouse=True)
def _data(packs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSION_DATA", str(packs))
