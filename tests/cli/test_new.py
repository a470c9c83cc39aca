"""fusion new says what it wrote, and what is wrong with a name."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_project_is_listed_without_its_media(fusion: Fusion) -> None:
    found = fusion("new", "birds")
    assert (found.code, found.err) == (0, "")
    *files, next_line = found.out.splitlines()
    assert {"birds/recipe.yaml", "birds/birds/fuser.py", "birds/data/train.csv"} <= set(files)
    assert all(Path(file).is_file() and not file.endswith((".png", ".wav")) for file in files)
    assert next_line == "next: cd birds, and see README.md"


def test_a_plugin_has_a_folder_of_its_name(fusion: Fusion) -> None:
    assert fusion("new", "--plugin", "heart_rate").code == 0
    assert Path("fusion-heart-rate/fusion_heart_rate/encoder.py").is_file()
    assert fusion("new", "--plugin", "depth", "elsewhere").code == 0
    assert Path("elsewhere/fusion_depth/encoder.py").is_file()


def test_what_is_wrong_is_one_error(fusion: Fusion) -> None:
    fusion("new", "birds")
    taken = fusion("new", "birds")
    assert (taken.code, taken.err) == (
        1,
        "error: birds exists and is not an empty folder; name another one\n",
    )
    badly = fusion("new", "--plugin", "Heart")
    assert badly.code == 1
    assert badly.err.startswith(
        "error: 'Heart' is not made of lower-case words joined by '-' or '_'; use a name"
    )
    nothing = fusion("new")
    assert nothing.code == 2
    assert "Name a folder, such as `fusion new birds`, or a --plugin." in nothing.err
