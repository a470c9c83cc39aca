"""The commands of docs/serve.md ask a server, which answers as the page says."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from accelerate import Accelerator
from PIL import Image

from fusion import Registry, Run, load
from fusion.search.update import update

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/serve.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(bash|json)\n(.*?)^```$", PAGE, re.M | re.S)
SHOWN = [(asked, told) for (_, asked), (language, told) in pairwise(BLOCKS) if language == "json"]


@pytest.fixture(scope="module")
def folder(
    tiny_run: Run, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, str]]:
    """A folder with a scan and a sound, and where a server of an indexed run answers."""
    place = tmp_path_factory.mktemp("served")
    run = Run(Path(shutil.copytree(tiny_run.folder, place / "run")))
    update(run, load(run, "cpu", registry).model, run.recipe, "test", registry, Accelerator(cpu=True))
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8)).save(place / "seven.png")
    soundfile.write(place / "seven.wav", rng.uniform(-1, 1, 4000), 8000)
    command = [sys.executable, "-m", "fusion", "serve", str(run.folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        where = server.stdout.readline().split()[-1]
        assert where.startswith("http://127.0.0.1:")
        yield place, where
        server.terminate()
        assert server.wait(60) == 0


def answers(block: str, folder: tuple[Path, str]) -> list[Any]:
    """Run a block, and return what its commands print."""
    place, where = folder
    command = block.replace("http://127.0.0.1:8000", where).replace("curl ", "curl --max-time 60 ")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], cwd=place, capture_output=True, text=True, check=True
    )
    found, rest, decoder = list[Any](), done.stdout.strip(), json.JSONDecoder()
    while rest:
        content, end = decoder.raw_decode(rest)
        found.append(content)
        rest = rest[end:].strip()
    return found


def shape(content: Any) -> Any:
    """Return the keys of what the page shows; what stands for many numbers is one."""
    if isinstance(content, dict):
        return {key: shape(value) for key, value in content.items()}
    if isinstance(content, list) and all(isinstance(one, float) or one == "..." for one in content):
        return "numbers"
    return [shape(one) for one in content] if isinstance(content, list) else type(content).__name__


def test_every_command_is_answered(folder: tuple[Path, str]) -> None:
    blocks = [text for language, text in BLOCKS if language == "bash"]
    found = [answers(block, folder) for block in blocks]
    assert [len(some) for some in found] == [block.count("curl ") for block in blocks]
    assert len(blocks) >= 5
    refused = [one for some in found for one in some if "detail" in one]
    unread = [row for some in found for one in some for row in one.get("rows", []) if "error" in row]
    assert (len(refused), len(unread)) == (1, 1)  # those that the page shows


def test_answers_are_as_the_page_shows_them(folder: tuple[Path, str]) -> None:
    assert len(SHOWN) == 3
    for command, answer in SHOWN:
        [found] = answers(command, folder)
        assert shape(found) == shape(json.loads(answer)), command


def test_errors_are_word_for_word_those_of_the_page(folder: tuple[Path, str]) -> None:
    _, unread, refused = SHOWN
    assert answers(unread[0], folder)[0]["rows"][0] == json.loads(unread[1])["rows"][0]
    assert answers(refused[0], folder) == [json.loads(refused[1])]


def test_every_status_and_limit_is_one_of_ours() -> None:
    from fusion.cli.serve import command
    from fusion.serve.described import FAILURES, MISSING

    rows = re.findall(r"^\| (\d{3}) \| .*? \| (.*?) ?\|$", PAGE, re.M)
    assert {int(code) for code, _ in rows} == set(FAILURES | MISSING)
    options = {name for option in command.params for name in option.opts}
    named = set(re.findall(r"`(--[a-z-]+)", PAGE))
    assert {"--timeout", "--queue", "--max-rows"} <= named <= options


def test_every_counter_has_a_place_in_the_metrics(folder: tuple[Path, str]) -> None:
    done = subprocess.run(["curl", "-s", f"{folder[1]}/metrics"], capture_output=True, text=True, check=True)
    for name in (
        "fusion_requests_total",
        "fusion_batch_rows",
        "fusion_waiting_rows",
        "process_resident_memory_bytes",
    ):
        assert f"\n# HELP {name.removesuffix('_total')}" in f"\n{done.stdout}"
