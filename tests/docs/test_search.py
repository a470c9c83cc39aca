"""The commands of docs/search.md run, in their order, on a run of one's own."""

import shlex
import shutil
import sys
from pathlib import Path

import pytest

from fusion import Run
from fusion.cli import main
from tests.docs.test_snippets import ROOT, blocks


def test_the_commands_of_the_page_run(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_run.folder, "runs/bind_digits")
    ran = 0
    for block in blocks(ROOT / "docs" / "search.md", "python", "console"):
        if block.language == "python":
            exec(compile(block.text, "search.md", "exec"), {})
            continue
        for line in block.text.splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words[0] == "pip":
                continue
            monkeypatch.setattr(sys, "argv", words)
            with pytest.raises(SystemExit) as ended:
                main()
            assert not ended.value.code, (line, capsys.readouterr().err)
            ran += 1
    assert ran > 10
    assert Path("found.html").is_file()
