"""A run goes to the hub and comes back from it, through the file API of a stand-in."""

import json
from collections.abc import Callable

import numpy as np

from fusion import Run, load
from tests.hub.conftest import Done
from tests.hub.standin import Hub

Python = Callable[..., Done]
ANSWERS = """
import json, sys
from fusion import load

model = load(sys.argv[1])
encoded = model.encode({"text": "the digit seven"})
print(json.dumps([encoded.fused.tolist(), model.predict({"text": "seven"})["digit"].score.tolist()]))
"""


def answers(run: Run) -> list[np.ndarray]:
    model = load(run, "cpu")
    encoded = model.encode({"text": "the digit seven"})
    return [encoded.fused.numpy(), model.predict({"text": "seven"})["digit"].score.numpy()]


def test_what_is_pushed_is_loaded_from_anywhere(python: Python, hub: Hub, run: Run) -> None:
    pushed = python("-m", "fusion", "push", run.folder, "me/digits", "--licence", "mit", "--json")
    assert pushed.returncode == 0, pushed.stderr
    name = json.loads(pushed.stdout)["name"]
    commit = hub.branches["me/digits"]["main"]
    assert name == f"me/digits@{commit}"
    files = hub.commits["me/digits"][commit]
    assert files["model.safetensors"] == run.model_file.read_bytes()
    assert b"license: mit" in files["README.md"]
    listed = {*run.manifest["files"], "recipe.yaml", "manifest.json", "metrics.json", "evaluation.json"}
    assert files.keys() == {*listed, "README.md"}  # no report, no ledger, no checkpoint

    files["setup.py"] = b"raise SystemExit('run')"  # what others put beside it is not even fetched
    for place in (name, "me/digits@main"):
        loaded = python("-c", ANSWERS, place)
        assert loaded.returncode == 0, loaded.stderr
        for found, expected in zip(json.loads(loaded.stdout), answers(run), strict=True):
            np.testing.assert_allclose(
                found, expected, rtol=1e-5, atol=1e-7
            )  # threads may add in other orders
    assert not [line for line in hub.asked if "setup.py" in line]
    assert python("-c", ANSWERS, name, HF_HUB_OFFLINE="1").returncode == 0  # it is here now
    verified = python("-m", "fusion", "verify", name, "--json")
    assert json.loads(verified.stdout)["whole"] is True


def test_a_run_that_was_changed_on_the_hub_is_refused(python: Python, hub: Hub, run: Run) -> None:
    assert python("-m", "fusion", "push", run.folder, "me/digits").returncode == 0
    files = hub.commits["me/digits"][hub.branches["me/digits"]["main"]]
    hub.add("me/digits", files | {"model.safetensors": files["model.safetensors"][:-4] + b"evil"})
    found = python("-m", "fusion", "predict", "me/digits@main", "--text", "seven")
    assert found.returncode == 1
    assert "its SHA-256 is not" in found.stderr
    hub.add("me/digits", files | {"manifest.json": b'{"files": {"../evil": "0"}, "plugins": {}}'})
    found = python("-m", "fusion", "predict", "me/digits@main", "--text", "seven")
    assert (found.returncode, "'../evil' is no file of a run" in found.stderr) == (1, True)


def test_what_is_not_there_is_told(python: Python, hub: Hub) -> None:
    hub.add("me/empty", {"README.md": b""})
    told = {
        "me/nobody@main": "the hub has no me/nobody, or it is a private one",
        "me/empty@v2": "me/empty has no revision 'v2'; give a commit, a branch or a tag",
        "me/empty@main": "me/empty@main is no run: it has no manifest.json",
        "me/empty": "me/empty is not a run: it has no recipe.yaml",
    }
    for name, reason in told.items():
        found = python("-m", "fusion", "predict", name, "--text", "seven")
        assert (found.returncode, reason in found.stderr) == (1, True), found.stderr
    found = python(
        "-m", "fusion", "predict", "me/empty@main", "--text", "seven", HF_ENDPOINT="http://127.0.0.1:9"
    )
    assert found.returncode == 1
    assert "me/empty@main is not on this machine and cannot be fetched from here" in found.stderr


def test_a_branch_is_made_and_a_refusal_and_damage_are_told(python: Python, hub: Hub, run: Run) -> None:
    assert python("-m", "fusion", "push", run.folder, "me/digits", "--branch", "v2").returncode == 0
    assert hub.branches["me/digits"]["main"] != hub.branches["me/digits"]["v2"]
    assert hub.commits["me/digits"][hub.branches["me/digits"]["main"]] == {}
    hub.refuse = True
    refused = python("-m", "fusion", "push", run.folder, "me/digits")
    away = python("-m", "fusion", "push", run.folder, "me/digits", HF_ENDPOINT="http://127.0.0.1:9")
    assert (away.returncode, "error: cannot push to me/digits: " in away.stderr) == (1, True)
    assert "Traceback" not in away.stderr
    assert (refused.returncode, "error: cannot push to me/digits: " in refused.stderr) == (1, True)
    hub.refuse = False
    before = dict(hub.branches["me/digits"])
    run.model_file.write_bytes(run.model_file.read_bytes()[:-1])
    damaged = python("-m", "fusion", "push", run.folder, "me/digits")
    assert damaged.returncode == 1
    assert "nothing is pushed: model.safetensors (is not what was written)" in damaged.stderr
    assert hub.branches["me/digits"] == before
