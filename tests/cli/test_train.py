"""fusion train: a run from a recipe, plain progress in a pipe, Ctrl-C and resume."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fusion import Run
from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]
SMALL = [
    "encoders.image.dim=16",
    "encoders.text.dim=16",
    "encoders.audio.dim=16",
    "sources.seen.limit=64",
    "sources.heard.limit=64",
    "train.batch=16",
    "train.log_every=1",
    "evaluate.limit=16",
]


def test_a_copied_recipe_is_trained_tiny(fusion: Fusion) -> None:
    fusion("recipes", "copy", "bind_digits", "mine.yaml")
    found = fusion("train", "mine.yaml", "--tiny", "train.steps=4")
    assert found.code == 0
    run = Run("runs/mine")
    assert run.finished
    assert run.recipe.train.steps == 4
    assert found.out.endswith("run     runs/mine\nreport  runs/mine/report.html\n")
    assert "Retrieval\n" in found.out
    assert "image → audio" in found.out
    assert fusion("train", "mine.yaml", "--tiny", "train.steps=4").out.endswith("runs/mine-2/report.html\n")


def test_tiny_says_what_it_leaves_out(fusion: Fusion) -> None:
    given = ("init=runs/none", "prior={name: ewc}", "train.steps=2")
    found = fusion("train", "bind_digits", "--tiny", *given)
    assert found.code == 0
    assert "warning: --tiny leaves out init (runs/none)" in found.err
    assert "warning: --tiny leaves out prior (ewc), which holds weights that are not there" in found.err
    assert Run("runs/bind_digits").recipe.prior is None


def test_progress_in_a_pipe_is_plain_lines_on_stderr(fusion: Fusion) -> None:
    found = fusion("train", "bind_digits", "--tiny", "train.steps=4", "--out", "run")
    lines = found.err.strip().splitlines()
    assert re.fullmatch(r"train bind_digits: step 1/4, loss \d+\.\d{4}, \d+ s", lines[0])
    assert lines[-1].startswith("train bind_digits: step 4/4, ")
    assert "\x1b" not in found.err + found.out
    assert "\r" not in found.err + found.out


def test_json_is_all_that_stands_on_stdout(fusion: Fusion) -> None:
    found = fusion("train", "bind_digits", "--tiny", "train.steps=4", "--json")
    assert found.json == Run("runs/bind_digits").metrics
    assert found.json["train/steps"] == 4


def test_nothing_is_made_of_a_recipe_with_an_error(fusion: Fusion) -> None:
    assert fusion("train", "bind_digits", "train.steps=none").code == 1
    assert list(Path().iterdir()) == []


STOPPING = """
import os, signal
from pathlib import Path
from fusion import hookimpl, read_recipe
from fusion_digits.source import Digits

class Rows(Digits):
    # a signal comes after the last step; before the first one the rows are only tried
    def __getitem__(self, index):
        if Path("runs/mine/checkpoints/step-00000004").exists() and not Path("told").exists():
            Path("told").touch()
            os.kill(os.getpid(), signal.SIGTERM)
        return super().__getitem__(index)

@hookimpl
def fusion_sources():
    from fusion import Component
    return [Component("stopping", Rows)]

@hookimpl
def fusion_step_end(step):
    if step == 2 and not Path("stopped").exists():
        Path("stopped").touch()
        os.kill(os.getpid(), signal.SIGTERM)

recipe = read_recipe("bind_digits")
recipe = recipe.model_copy(update={"name": "mine"})
"""


def test_sigterm_ends_with_0_at_a_step_and_in_the_evaluation(fusion: Fusion) -> None:
    Path("mine.py").write_text(STOPPING)
    rows = "evaluate.sources={test: {name: stopping, view: image-audio-text, split: test}}"
    start = ("train", "mine.py", "--tiny", "train.steps=4", rows, "--out", "runs/mine")
    found = fusion(*start)
    assert (found.code, found.out) == (0, "")
    assert found.err.endswith("stopped after step 3; go on with --resume --out runs/mine\n")
    again = fusion(*start, "--resume")
    assert (again.code, again.out) == (0, "")
    assert again.err.endswith("stopped outside of the steps; go on with --resume --out runs/mine\n")
    assert not Run("runs/mine").finished
    assert fusion(*start, "--resume").code == 0
    assert Run("runs/mine").finished


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_to_all_processes_says_how_to_go_on_and_resuming_finishes(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    given = [*SMALL, "train.steps=150", "train.workers=2"]
    command = [sys.executable, "-m", "fusion", "train", "bind_digits", *given]
    command += ["--out", str(tmp_path / "run")]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as training:
        assert training.stderr is not None
        assert "step 1/150" in training.stderr.readline()
        os.killpg(training.pid, number)
        out, err = training.communicate(timeout=120)
    assert training.returncode == code
    assert out == ""
    stopped = re.search(rf"stopped after step (\d+); go on with .*--resume --out {tmp_path / 'run'}", err)
    assert stopped
    assert "Traceback" not in err
    assert not Run(tmp_path / "run").finished

    resumed = subprocess.run(
        [*command, "--resume", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert resumed.returncode == 0, resumed.stderr
    assert f"step {int(stopped[1]) + 1}/150" in resumed.stderr.splitlines()[0]
    assert json.loads(resumed.stdout)["train/steps"] == 150
    lines = (tmp_path / "run" / "metrics.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 151))
