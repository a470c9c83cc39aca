"""Files of recipes."""

from pathlib import Path
from typing import Any

import pytest

from tests.recipe.recipes import GOOD


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Write a recipe, the good one with replacements, and return its path."""

    def build(*replacements: tuple[str, str], text: str = GOOD) -> Path:
        for old, new in replacements:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        path = tmp_path / "mine.yaml"
        path.write_text(text, "utf-8")
        return path

    return build
