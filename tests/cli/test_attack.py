"""fusion evaluate --stress attack, and fusion train against one: what is printed, kept and refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fusion import Run
from tests.cli.conftest import Outcome

Fusion = Callable[..., Outcome]
SMALL = ("--stress", "attack", "--severities", "0,0.1", "--rows", "8", "evaluate.attack={name: fgsm}")


@pytest.fixture
def run(tiny_run: Run, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run.folder, tmp_path / "run"))


def test_what_is_attacked_is_told_kept_and_shown(fusion: Fusion, run: Path) -> None:
    found = fusion("evaluate", run, *SMALL)
    assert (found.code, found.err) == (0, "")
    for title in ("Does fusing help? accuracy", "image damaged", "image+audio damaged", "Red flags"):
        assert f"{title}\n" in found.out
    kept = json.loads((run / "stress-attack.json").read_text("utf-8"))
    assert kept["told"]["attack"] == {"name": "fgsm", "norm": "linf", "loss": "loss"}
    assert kept["told"]["spared"] == ["text"]
    page = (run / "report.html").read_text("utf-8")
    assert 'id="attack"' in page
    assert "accuracy, image damaged" in page
    assert "Red flags" in page
    assert "Not attacked, as no raw samples can be moved a little: text." in page


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--kinds", "text"), "error: unknown attack of this run 'text'; "),
        (("--severities", "-1"), "error: severity -1: a radius is not below 0"),
        (("evaluate.attack.name=apdg",), "unknown attack 'apdg'; did you mean 'apgd'?"),
        (("evaluate.attack.norm=l1",), "evaluate.attack.norm: 'l1': input should be 'linf' or 'l2'"),
        (("evaluate.attack.stps=3",), "unknown option of apgd 'stps'; did you mean 'steps'?"),
    ],
)
def test_what_is_wrong_is_said(fusion: Fusion, run: Path, given: tuple[str, ...], said: str) -> None:
    found = fusion("evaluate", run, "--stress", "attack", *given)
    assert found.code == 1
    assert said in found.err
    assert not (run / "stress-attack.json").exists()


def test_an_attack_in_training_is_checked_and_takes_its_time(fusion: Fusion) -> None:
    against = "train.adversarial={radius: {image: 0.05}, steps: 2}"
    assert fusion("check", "bind_digits", "train.batch=8", against).code == 0
    wrong = fusion("check", "bind_digits", "train.adversarial={radius: {text: 0.05}}")
    assert wrong.code == 1
    assert "text cannot be attacked: its processor names no input that holds raw samples" in wrong.err
