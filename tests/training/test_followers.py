"""Loggers that a recipe names hear all of a training, on one process, and cannot end it."""

import json
from pathlib import Path
from typing import Any

import pytest

from fusion import PluginError, RecipeError, Registry, Run, TrainingError, train
from tests.training.toys import lines, recipe, same, stop, weights, write

TEST = {"sources": {"test": {"name": "toy", "rows": 9}}}


def heard(folder: Path) -> list[Any]:
    """Return what the toy's logger wrote: [rank, method, what it was given]."""
    text = (folder / "track" / "toy-lines" / "heard.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def steps(told: list[Any]) -> dict[int, dict[str, float]]:
    return {int(step): line for _, what, given in told if what == "log" for step, line in given.items()}


def values(line: dict[str, float]) -> dict[str, float]:
    return {key: value for key, value in line.items() if key != "step"}


def test_a_logger_hears_the_recipe_every_step_and_what_is_measured_at_the_end(
    registry: Registry, tmp_path: Path
) -> None:
    changes = {"train.log_every": 3, "evaluate": TEST}
    plain = train(recipe(changes), tmp_path / "plain", registry=registry)
    run = train(recipe(changes | {"train.track": "toy-lines"}), tmp_path / "run", registry=registry)
    told = heard(run.folder)
    assert [what for _, what, _ in told] == ["begin", "log", "log", "log", "log", "end"]
    assert told[0][2] == ["run", 0, 8]
    assert [list(given) for _, what, given in told if what == "log"] == [
        ["1"],
        ["2", "3"],
        ["4", "5", "6"],
        ["7", "8"],
    ]
    assert steps(told) == {line["step"]: values(line) for line in lines(run)}
    numbers = {key: value for key, value in run.metrics.items() if type(value) in (int, float)}
    assert told[-1][2] == numbers
    assert numbers["retrieval/image->audio/labelled"] == 9
    assert same(weights(run), weights(plain))


def test_a_resumed_training_goes_on_where_its_logger_stopped(registry: Registry, tmp_path: Path) -> None:
    made, out = recipe({"train.track": ["toy-lines"]}), tmp_path / "run"
    stop(made, out, 4, registry)
    assert heard(out)[-1] == ["0", "end", None]
    assert list(steps(heard(out))) == [1, 2, 3, 4, 5]

    run = train(made, out, resume=True, registry=registry)
    again = heard(out)[heard(out).index(["0", "end", None]) + 1 :]
    assert again[0] == ["0", "begin", ["run", 5, 8]]
    assert list(steps(again)) == [6, 7, 8]
    assert steps(heard(out)) == {line["step"]: values(line) for line in lines(run)}


def test_a_logger_that_fails_is_told_once_and_asked_again_ever_more_seldom(
    registry: Registry, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    failing = {"name": "toy-lines", "fail": [1, 2]}
    run = train(recipe({"train.track": failing}), tmp_path / "run", registry=registry)
    assert run.finished
    # steps 1 and 3 fail; after the first failure one call is left out, after the second one two
    assert list(steps(heard(run.folder))) == [6, 7, 8]
    told = capfd.readouterr()
    warnings = [line for line in told.err.splitlines() if "toy-lines" in line]
    assert warnings == [
        "warning: the logger toy-lines fails: ConnectionError('no server in call 1'); what it misses is in "
        "metrics.jsonl",
        "warning: the logger toy-lines has missed 5 steps; they are in metrics.jsonl",
    ]
    assert "a library says goodbye" in told.err
    assert told.out == ""


def test_a_logger_that_cannot_begin_ends_a_training_that_can_go_on_without_it(
    registry: Registry, tmp_path: Path
) -> None:
    refusing = recipe({"train.track": {"name": "toy-lines", "refuse": True}})
    out = tmp_path / "run"
    remedy = rf"mend that, or go on without it: --resume --out {out} train\.track=\[\]"
    with pytest.raises(TrainingError, match=rf"the logger toy-lines cannot begin: .*no server.*; {remedy}"):
        train(refusing, out, registry=registry)
    assert not (out / "metrics.jsonl").exists()
    run = train(recipe(), out, resume=True, registry=registry)
    assert run.finished
    assert run.recipe.train.track == []


def test_of_two_processes_the_main_one_alone_logs(tmp_path: Path, torchrun: Any) -> None:
    made = recipe({"train.track": "toy-lines", "train.steps": 3})
    write(made, tmp_path / "toy.yaml")
    done = torchrun(2, "-m", "fusion", "train", str(tmp_path / "toy.yaml"), "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    told = heard(tmp_path / "run")
    assert [(rank, what) for rank, what, _ in told] == [
        ("0", name) for name in ("begin", *["log"] * 3, "end")
    ]
    assert steps(told) == {line["step"]: values(line) for line in lines(Run(tmp_path / "run"))}


def test_two_processes_hear_of_a_logger_that_cannot_begin(tmp_path: Path, torchrun: Any) -> None:
    made = recipe({"train.track": {"name": "toy-lines", "refuse": True}})
    write(made, tmp_path / "toy.yaml")
    done = torchrun(2, "-m", "fusion", "train", str(tmp_path / "toy.yaml"), "--out", str(tmp_path / "run"))
    assert done.returncode == 1
    assert "error: the logger toy-lines cannot begin: ConnectionError('no server')" in done.stderr


def test_each_logger_is_named_once() -> None:
    with pytest.raises(RecipeError, match=r"train\.track: .*wandb stands twice; give each logger once"):
        recipe({"train.track": ["wandb", {"name": "wandb", "project": "other"}]})


def test_an_unknown_logger_is_told_with_those_there_are(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(
        (RecipeError, PluginError), match="unknown logger 'tensorbord'; did you mean 'tensorboard'"
    ):
        train(recipe({"train.track": "tensorbord"}), tmp_path / "run", registry=registry)
