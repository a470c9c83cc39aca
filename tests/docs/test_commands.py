"""The commands of the pages that lead through a job are given one after the other, and each of them works."""

import importlib
import os
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusion.cli import cli, main
from tests.docs.test_snippets import ROOT, _install, blocks, place

__all__ = ["place"]  # the fixture

PAGES = [ROOT / "docs" / f"{name}.md" for name in ("index", "start", "bind", "fuse", "adapt", "modality")]
ELSEWHERE = ("pip install .", "uvx ", "pipx ")  # which would set up another environment


@pytest.fixture
def page(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def commands(page: Path) -> Iterator[str]:
    for block in blocks(page, "console"):
        yield from (line.removeprefix("$ ") for line in block.text.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, indirect=True, ids=lambda page: page.name)
def test_every_command_works(
    page: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [line for line in commands(page) if not line.startswith(ELSEWHERE)]
    assert any(line.startswith("fusion ") for line in given)
    for line in given:
        name, *words = shlex.split(line, comments=True)
        if name == "cd":
            monkeypatch.chdir(words[0])
        elif name == "pip":
            assert words == ["install", "-e", "."]
            monkeypatch.syspath_prepend(os.getcwd())
            _install(tomllib.loads(Path("pyproject.toml").read_text("utf-8")), Path.cwd())
            importlib.invalidate_caches()
        else:
            assert name == "fusion", line
            short = any("--tiny" in option.opts for option in cli.commands[words[0]].params)
            monkeypatch.setattr(sys, "argv", ["fusion", *words, *(["--tiny"] if short else [])])
            with pytest.raises(SystemExit) as ended:
                main()
            assert not ended.value.code, f"{line}\n{capsys.readouterr().err}"


def test_the_pages_are_those_that_the_site_calls_jobs() -> None:
    """Of those under Jobs the others are long and have tests of their own, and commands that need hours."""
    site = (ROOT / "mkdocs.yml").read_text("utf-8").partition("  - Jobs:\n")[2].partition("  - Topics:")[0]
    jobs = {line.rpartition(" ")[2] for line in site.splitlines() if line.endswith(".md")}
    assert {page.name for page in PAGES} - {"index.md", "start.md"} <= jobs
