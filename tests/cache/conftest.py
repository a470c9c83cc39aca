"""A folder of the cache with entries in it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fusion.cache.entry import Entry
from fusion.cache.folder import Folder
from fusion.cache.parts import Part


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setenv("FUSION_CACHE", str(tmp_path / "cache"))
    return Folder.found()


@pytest.fixture
def make(folder: Folder) -> Callable[..., Entry]:
    """Write an entry of numbers in two parts, used some time after 1970."""
    import os

    def write(name: str, used: float = 0.0, rows: int = 100) -> Entry:
        stage = folder.stage(name)
        files: dict[str, str] = {}
        for number in range(2):
            part = Part(stage.folder, number)
            part.append("pooled", np.arange(2 * rows, dtype=np.float32).reshape(rows, 2) + 1000 * number)
            files |= part.close()
        key = {
            "modality": "image",
            "encoder": {"name": "tower"},
            "dtype": "float32",
            "source": {"name": "photos"},
        }
        stage.finish(name, key, 2 * rows, files)
        stage.release()
        os.utime(folder.path / name / "used", (used, used))
        return folder.entry(name)

    return write
