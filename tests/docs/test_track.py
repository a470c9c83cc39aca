"""The commands of docs/track.md run, in their order, on tiny encoders."""

import shlex
from collections.abc import Callable
from pathlib import Path

from fusion import Run
from tests.cli.conftest import Outcome, fusion
from tests.docs.test_snippets import ROOT, blocks

__all__ = ["fusion"]


def test_every_command_runs(fusion: Callable[..., Outcome]) -> None:
    lines = [line for block in blocks(ROOT / "docs/track.md", "console") for line in block.text.splitlines()]
    commands = [shlex.split(line[2:], comments=True) for line in lines]
    commands = [words[1:] for words in commands if words[0] == "fusion"]
    assert len(commands) == 6
    for words in commands:
        if "--resume" in words:  # as if it had been stopped before the end
            newest = max(Path("runs").iterdir(), key=lambda run: run.stat().st_mtime_ns)
            (newest / "manifest.json").unlink()
        done = fusion(*words, *(["--tiny"] if words[0] == "train" else []))
        assert done.code == 0, done.err
        assert "logger" not in done.err
    first, second = Run("runs/bind_digits"), Run("runs/bind_digits-2")
    assert list((first.folder / "track/tensorboard").glob("events.*"))
    assert list((second.folder / "track/wandb").glob("wandb/offline-run-*"))
    assert (second.folder / "track/trackio/id").is_file()
    assert {first.finished, second.finished} == {True}
