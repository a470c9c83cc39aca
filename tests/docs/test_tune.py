"""The commands of docs/tune.md run, with fewer trials, on tiny encoders."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from fusion import read_recipe
from tests.cli.conftest import Outcome, fusion
from tests.docs.test_snippets import ROOT, blocks

__all__ = ["fusion"]

LINES = [line for block in blocks(ROOT / "docs/tune.md", "console") for line in block.text.splitlines()]
COMMANDS = [words[1:] for line in LINES if (words := shlex.split(line[2:], comments=True))[0] == "fusion"]


def test_the_commands_are_found() -> None:
    assert [words[0] for words in COMMANDS] == ["tune", "tune", "study"]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: f"{words[0]}-{len(words)}")
def test_a_command_runs(words: list[str], fusion: Callable[..., Outcome]) -> None:
    fewer = ["--trials", 2] if words[0] == "tune" else ["--seeds", 1]
    done = fusion(*words, *fewer, "--tiny")
    assert done.code == 0, done.err
    if words[0] == "tune":
        assert read_recipe(Path("runs/tunes/fuse_digits-tiny/best.yaml")).name == "fuse_digits"
