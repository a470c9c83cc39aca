"""A run of the hub stands wherever one of this machine does."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fusion import Run
from fusion.hub.fetch import located, opened
from tests.hub.conftest import Done
from tests.hub.standin import Hub

USED = """
import json, sys
from fusion import RecipeError, Registry, Run, measure, merge
from fusion.hub.push import push
from fusion.transfer.initial import initial_model
from fusion.transfer.labelled import _classifier
from fusion.transfer.teacher import open_teacher

run, out, registry = Run(sys.argv[1]), sys.argv[2], Registry()
name = push(run, "me/digits").name
model, start = initial_model(run.recipe.model_copy(update={"init": name}), registry)
merged = merge([name, run.folder], out, method="average", registry=registry)
try:
    open_teacher(run.recipe.model_copy(update={"teacher": name}), model, registry)
except RecipeError as error:
    problem = str(error)
told = {
    "name": name,
    "init": start.origin["init"],
    "new": start.new,
    "merged": [one["run"] for one in merged.manifest["merge"]["runs"]],
    "teacher": problem,
    "measured": measure(name, registry=registry),
    "classifier": _classifier(run.recipe.model_copy(update={"init": name}), registry) is not None,
}
print(json.dumps(told))
"""


def test_it_begins_a_training_teaches_and_is_merged(
    python: Callable[..., Done], hub: Hub, run: Run, tmp_path: Path
) -> None:
    done = python("-c", USED, run.folder, tmp_path / "merged")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    name = f"me/digits@{hub.branches['me/digits']['main']}"
    assert told["name"] == told["init"] == name
    assert told["new"] == []
    assert told["merged"] == [name, str(run.folder)]
    assert f"no objective reads an output of {name}; it gives teacher/fused" in told["teacher"]
    assert told["classifier"] is True
    for key in ("subsets/image/accuracy", "subsets/audio/accuracy"):
        assert told["measured"][key] == pytest.approx(run.metrics[key], abs=1e-5)


def test_what_lies_here_goes_before_the_hub(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    here = tmp_path / "me" / "digits@main"
    here.parent.mkdir()
    shutil.copytree(run.folder, here)
    assert opened("me/digits@main").recipe == run.recipe
    assert located("~/me/digits@main") == here
    assert opened(run) is run
