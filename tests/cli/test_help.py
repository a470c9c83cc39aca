"""The help of every command reads well, and starting costs neither torch nor pydantic."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version

import click
import pytest

from fusion.cli import cli
from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


COMMANDS = dict(commands(cli))


def test_all_commands_are_there() -> None:
    assert [path[0] for path in COMMANDS if len(path) == 1] == [
        "new",
        "train",
        "evaluate",
        "predict",
        "embed",
        "index",
        "search",
        "export",
        "serve",
        "app",
        "report",
        "study",
        "tune",
        "compare",
        "rank",
        "merge",
        "compress",
        "dequantize",
        "fisher",
        "verify",
        "sign",
        "push",
        "data",
        "check",
        "cache",
        "recipes",
        "plugins",
        "doctor",
    ]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_short_help_is_whole_in_the_list(fusion: Fusion, path: tuple[str, ...]) -> None:
    short = COMMANDS[path].get_short_help_str(limit=1000)
    assert 10 < len(short) <= 50
    listed = fusion(*path[:-1], "--help").out
    assert f"{path[-1]} " in listed
    assert short in listed
    assert "..." not in listed.partition("Commands:")[2]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_a_help_of_sentences(fusion: Fusion, path: tuple[str, ...]) -> None:
    found = fusion(*path, "--help")
    assert (found.code, found.err) == (0, "")
    usage, _, text = found.out.partition("\n\n")
    assert usage.startswith(f"Usage: fusion {' '.join(path)} ")
    assert text.startswith("  ")
    assert text.strip()[0].isupper()
    assert max(map(len, found.out.splitlines())) <= 100


def test_commands_are_listed_in_the_order_of_use(fusion: Fusion) -> None:
    listed = fusion("--help").out.partition("Commands:")[2].split("\n")
    names = [line.split()[0] for line in listed if line.strip()]
    assert names == [path[0] for path in COMMANDS if len(path) == 1]
    assert names != sorted(names)


def test_the_version_is_that_of_the_distribution(fusion: Fusion) -> None:
    assert fusion("--version").out.strip() == f"fusion, version {version('fusion-bind')}"


def test_without_arguments_it_shows_the_help(fusion: Fusion) -> None:
    found = fusion()
    assert found.code == 2
    assert "Commands:" in found.out + found.err


HEAVY = ("torch", "pydantic", "accelerate", "numpy", "pyarrow", "sklearn", "matplotlib")


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["plugins", "ls"], ["recipes", "ls"]])
def test_what_only_lists_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys, fusion.cli\n"
        "try: fusion.cli.main()\n"
        "except SystemExit as ended: assert not ended.code, ended.code\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    imported = set(done.stderr.split())
    assert "fusion.cli.train" in imported
    assert imported.isdisjoint(HEAVY)


def completed(words: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "fusion"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={
            **os.environ,
            "_FUSION_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        },
    )
    return done.stdout.split()


def test_commands_and_recipes_are_completed() -> None:
    assert completed("fusion tr") == ["plain,train"]
    assert completed("fusion train bi") == ["plain,bind_digits", "plain,bind_text_hub", "file,bi"]
    assert completed("fusion recipes show fu") == ["plain,fuse_digits", "file,fu"]


def test_the_completion_script_is_printed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fusion"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "_FUSION_COMPLETE": "bash_source"},
    )
    assert "_fusion_completion()" in done.stdout


@pytest.mark.parametrize("arguments", ["plugins ls", "plugins ls --json", "--help"])
def test_a_reader_that_leaves_early_sees_no_traceback(arguments: str) -> None:
    command = f"{sys.executable} -m fusion {arguments} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""
