"""Components that are found: one for each file of a package, built by the function of its name."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusion import PluginError, functions_in

SHAKE = "def body_shake(raw, severity, rng):\n    return raw + severity\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    folder = tmp_path / "damages_of_motion"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "body_shake.py").write_text(SHAKE)
    (folder / "absent.py").write_text("raise ImportError('not here')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder.name
    for name in [name for name in sys.modules if name.partition(".")[0] == folder.name]:
        del sys.modules[name]


def test_a_file_is_a_component_and_is_imported_when_it_is_used(package: str) -> None:
    absent, shake = functions_in(package, "motion")
    assert (absent.name, shake.name, shake.modality) == ("motion-absent", "motion-body-shake", "motion")
    assert f"{package}.body_shake" not in sys.modules
    assert shake.resolve()(2, 3, None) == 5
    with pytest.raises(PluginError, match="component motion-absent: cannot import"):
        absent.resolve()


def test_without_a_modality_the_name_is_that_of_the_file(package: str) -> None:
    assert [component.name for component in functions_in(package)] == ["absent", "body-shake"]


def test_another_file_is_another_component(package: str, tmp_path: Path) -> None:
    (tmp_path / package / "fall.py").write_text(SHAKE.replace("body_shake", "fall"))
    assert [component.name for component in functions_in(package)] == ["absent", "body-shake", "fall"]
