"""The commands of the pages are given, one after the other, and each of them works."""

import importlib
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
from fusion_digits.source import Digits
from PIL import Image

import fusion
from fusion.cli import cli, main
from fusion.shrink import speed
from tests.docs.test_snippets import LANGUAGES, TEXTS, _install, blocks, place
from tests.recipes.packs import write

__all__ = ["place"]  # the fixture

PAGES = ("README", "index", "start", "bind", "fuse", "adapt", "modality", "guide", "plugins")
PAGES += ("transfer", "shrink", "trust", "performance", "app", "hub")
OWN = {  # pages whose commands another test gives, or none can
    "CONTRIBUTING": "make alone",
    "results": "make alone",
    "scale": "several processes; tests/launch",
    "search": "tests/docs/test_search.py",
    "modalities": "tests/docs/test_modalities.py",
    "serve": "tests/docs/test_serve.py",
    "track": "tests/docs/test_track.py",
    "tune": "tests/docs/test_tune.py",
}
LEFT_OUT = {  # what commands hold that are only parsed, and why
    "make ": "sets up an environment, and takes from minutes to hours",
    "pip install .": "the same",
    "pip install '": "the same",
    "uvx ": "the same",
    "pipx ": "the same",
    "torchrun ": "several processes for a minute; tests/training and tests/evaluation start some",
    "study fashion_to_digits": "versions and seeds of a minute together; tests/recipes",
    "study digits_to_fashion": "the same",
    "study multi_source_digits": "the same",
    "study speaker_shift": "the same",
    "limits.yaml --seeds": "the same",
    "--licence": "needs an account; tests/hub",
    "fusion serve": "goes on until it is ended; its test starts and ends it",
    "fusion app": "the same",
    "vgg11": "a network of half a gigabyte",
    " export ": "as long as all others together; tests/export",
    " --against ": "runs of all candidates; tests/cli/test_rank.py",
    "runs/studies/": "what a study of hours leaves; tests/cli/test_studies.py",
}
REFUSED = {  # what may be said of runs that are tiny or copies, and is right
    "more than --max-drop": "the gate: after four steps the smaller run is worse",
    "no linear layer becomes smaller": "a tiny layer has no rank to lose",
    "is finished; nothing is left to resume": "nobody has interrupted it",
    "by `init`; give --base": "copies of one run started from none",
    "exists; name another file": "the page holds the file that would be written",
    "exists; continue it with --resume": "what the page trains further down was there before",
    "have the same recipe and seed": "the page trains them by other seeds",
}
BEFORE = {  # what a page takes to be there
    "README.md": [
        "compress runs/bind_digits --with int8 --max-drop 1 --out runs/small",
        "sign --new-key team.pem",
        "train bind_digits train.seed=1",
    ],
    "transfer.md": ["train few_usps --out runs/mnist", "train few_usps --out runs/see_digits"],
    "trust.md": ["train fuse_digits", "embed runs/fuse_digits --source all -o all.parquet"],
}
RUNS = ("a", "b", "c", "before", "after", "earlier", "clothes", "letters")


@pytest.fixture
def page(request: pytest.FixtureRequest) -> Path:
    [found] = [page for page in TEXTS if page.stem == request.param]
    return found


@pytest.fixture
def folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `place` has, more runs, made up data for recipes, and a picture and a sound of a digit."""
    for name in RUNS:
        shutil.copytree("runs/bind_digits", f"runs/{name}")
    packs = place / "packs"
    packs.mkdir()
    monkeypatch.setenv("FUSION_DATA", str(write(packs)))
    shutil.copytree(Path(fusion.__file__).parents[1] / "recipes", "recipes", dirs_exist_ok=True)
    row = Digits(split="test")[0]
    Image.fromarray(row["image"]).save("two.png")
    soundfile.write("two.wav", *row["audio"])
    return place


def commands(page: Path) -> Iterator[str]:
    yield from (f"fusion {line}" for line in BEFORE.get(page.name, ()))
    for block in blocks(page, "console"):
        for line in block.text.splitlines():
            if not any(part in line.removeprefix("$ ") for part in LEFT_OUT):
                yield line.removeprefix("$ ")


def test_every_page_with_commands_has_them_given_somewhere() -> None:
    assert {*PAGES, *OWN} == {page.stem for page in TEXTS if "console" in LANGUAGES[page.name]}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, indirect=True)
def test_every_command_works(
    page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speed, "BUDGET", 0.0)  # of `compress`, which tells how fast both models are
    given = list(commands(page))
    assert len(given) > 0
    for line in given:
        name, *words = shlex.split(line, comments=True)
        if name == "cd":
            monkeypatch.chdir(words[0])
        elif name == "pip":
            assert words == ["install", "-e", "."]
            monkeypatch.syspath_prepend(os.getcwd())
            _install(tomllib.loads(Path("pyproject.toml").read_text("utf-8")), Path.cwd())
            importlib.invalidate_caches()
        elif name == "accelerate" or "--launch" in words:
            _launched(name, words)
        else:
            assert name == "fusion", line
            monkeypatch.setattr(sys, "argv", ["fusion", *_shorter(words)])
            with pytest.raises(SystemExit) as ended:
                main()
            said = capsys.readouterr().err
            assert not ended.value.code or any(text in said for text in REFUSED), f"{line}\n{said}"


def _launched(name: str, words: list[str]) -> None:
    """Give a command that starts processes, which would take the place of this one."""
    if name == "accelerate":
        assert words[:3] == ["launch", "-m", "fusion"]
        command = ["-m", "accelerate.commands.accelerate_cli", *words[:3], *_shorter(words[3:])]
    else:
        command = ["-m", "fusion", *_shorter(words)]
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _shorter(words: list[str]) -> list[str]:
    """Return a command that takes a second or two: with tiny components, few steps or few rows."""
    if words[0] == "--plugin":
        return [*words[:2], *_shorter(words[2:])]
    command, *rest = words
    for option in ("--recover", "--steps"):
        if option in rest:
            rest[rest.index(option) + 1] = "4"
    if any("--tiny" in option.opts for option in cli.commands[command].params):
        return [command, *(word for word in rest if word != "--tiny"), "--tiny"]
    if command == "compress":  # the words behind an option are of that option
        return [command, rest[0], "evaluate.limit=8", *rest[1:]]
    if command == "rank":
        return [*words, "train.batch=8"]
    if command in ("evaluate", "merge", "fisher"):
        return [*words, "evaluate.limit=8", *(["evaluate.attack.steps=4"] if "attack" in words else [])]
    return words
