"""fusion --plugin FILE: what a script offers is there for any command, and what is wrong with it is said."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fusion import Registry, Run
from fusion.errors import PluginError
from fusion.recipe.file import run_script
from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]
SOURCE = """
from fusion import Component, hookimpl
from fusion_digits.source import Digits


class Seven:
    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> dict:
        return dict(Digits(split="test")[index])


@hookimpl
def fusion_sources() -> list[Component]:
    return [Component("seven", Seven)]
"""
MEASURED = (
    "evaluate.sources={test: {name: seven}}",
    "--stress",
    "corruption",
    "--kinds",
    "text-case",
    "--severities",
    "1",
)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    file = tmp_path / "rows.py"
    file.write_text(SOURCE, "utf-8")
    return file


def test_a_run_is_measured_on_rows_of_a_script(
    fusion: Fusion, tiny_run: Run, script: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(tiny_run.folder, tmp_path / "run"))
    found = fusion("evaluate", run, *MEASURED)
    assert found.code == 1
    assert "unknown source 'seven'" in found.err
    found = fusion("--plugin", script, "evaluate", run, *MEASURED)
    assert (found.code, found.err) == (0, "")
    assert json.loads((run / "stress-corruption.json").read_text("utf-8"))["rows"] == 7


def test_a_file_that_offers_nothing_is_refused(fusion: Fusion, tmp_path: Path) -> None:
    empty = tmp_path / "empty.py"
    empty.write_text("rows = 3\n", "utf-8")
    found = fusion("--plugin", empty, "plugins", "ls")
    assert found.code == 2
    assert f"{empty} implements no hook" in found.err
    empty.write_text(SOURCE + "\n\ndef fusion_fusers():\n    return []\n", "utf-8")
    found = fusion("--plugin", empty, "plugins", "ls")
    assert found.code == 2
    assert "fusion_fusers is not marked with @fusion.hookimpl; mark it" in found.err
    assert "does not exist" in fusion("--plugin", tmp_path / "no.py", "plugins", "ls").err


def test_a_name_that_is_taken_is_refused(script: Path) -> None:
    taken = script.rename(script.with_name("digits.py"))
    with pytest.raises(PluginError, match=r"digits is the name of plugin 'digits' .*; rename the file"):
        run_script(taken, Registry())


def test_a_file_that_is_given_twice_is_refused(fusion: Fusion, script: Path) -> None:
    found = fusion("--plugin", script, "--plugin", script, "plugins", "ls")
    assert (found.code, found.out) == (1, "")
    assert "error: rows is the name of plugin 'rows' (given in Python); rename the file" in found.err
