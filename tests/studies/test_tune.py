"""A search trains each trial once, whatever ends it, and its best recipe gives what it promises."""

import json
import math
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from fusion import RecipeError, Registry, Run, RunError, TrainingError, read_recipe, train, tune
from fusion.recipe.axis import Axis
from fusion.recipe.text import dump
from tests.training.toys import recipe

TEST = {"sources": {"test": {"name": "toy", "view": ["image", "text", "audio"]}}, "retrieval": []}
ACCURACY = "subsets/image+text+audio/accuracy"
NLL = "subsets/image+text+audio/nll"
OVER: dict[str, Axis | str] = {"train.lr": "log:1e-3:1e-1", "width": "int:8:12"}


@pytest.fixture
def toy_yaml(tmp_path: Path) -> Path:
    path = tmp_path / "toy.yaml"
    made = recipe(
        {"evaluate": TEST, "train.steps": 4, "train.checkpoint_every": 2, "fuser": {"name": "gate"}}
    )
    path.write_text(dump(made.model_dump(mode="json", exclude_unset=True)), "utf-8")
    return path


def journal(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "trials.jsonl").read_text("utf-8").splitlines()]


def test_the_best_recipe_gives_the_best_score(toy_yaml: Path, registry: Registry, tmp_path: Path) -> None:
    found = tune(toy_yaml, over=OVER, by=ACCURACY, trials=4, out=tmp_path / "out", registry=registry)
    tried = found.tuned.tried
    assert [one.number for one in tried] == [0, 1, 2, 3]
    assert tried[0].values == {"train.lr": 0.01, "width": 8}  # the recipe as it is
    assert found.tuned.as_it_is is tried[0]
    scores = [Run(tmp_path / "out" / one.name).metrics[ACCURACY] for one in tried]
    assert [one.score for one in tried] == scores
    best = found.tuned.best
    assert best.score == max(scores)
    assert best is tried[scores.index(max(scores))]
    again = train(read_recipe(found.best, registry=registry), tmp_path / "again", registry=registry)
    assert again.metrics[ACCURACY] == best.score
    assert again.recipe.name == "toy"
    told = json.loads((tmp_path / "out" / "tune.json").read_text("utf-8"))
    assert told["best"]["score"] == best.score
    assert [one["score"] for one in told["trials"]] == scores
    page = found.page.read_text("utf-8")
    assert "chosen by subsets/image+text+audio/accuracy on the rows of evaluate.sources" in page


def test_nothing_is_trained_where_optuna_is_missing(
    toy_yaml: Path, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(RunError, match=r"pip install 'fusion-bind\[tune\]'"):
        tune(toy_yaml, over=OVER, by=ACCURACY, trials=1, out=tmp_path / "out", registry=registry)
    assert not (tmp_path / "out").exists()


def test_less_of_an_error_is_better(toy_yaml: Path, registry: Registry, tmp_path: Path) -> None:
    found = tune(toy_yaml, over=OVER, by=NLL, trials=3, out=tmp_path / "out", registry=registry)
    scores = [one.score for one in found.tuned.tried if one.score is not None]
    assert len(set(scores)) == 3
    assert found.tuned.best.score == min(scores)
    turned = tune(
        toy_yaml, over=OVER, by=f"-{ACCURACY}", trials=2, out=tmp_path / "turned", registry=registry
    )
    assert turned.tuned.best.score == min(one.score for one in turned.tuned.tried if one.score is not None)


@pytest.mark.parametrize("torn", [False, True])
def test_what_a_kill_ends_goes_on_as_if_it_had_not_been(
    torn: bool, toy_yaml: Path, registry: Registry, python: Any, tmp_path: Path
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    tune(toy_yaml, over=OVER, by=NLL, trials=3, out=whole, registry=registry)
    tune(toy_yaml, over=OVER, by=NLL, trials=1, out=out, registry=registry)
    words = ["--over", "train.lr=log:1e-3:1e-1", "--over", "width=int:8:12", "--by", NLL, "--trials", "3"]
    done = python("-m", "fusion", "tune", str(toy_yaml), *words, "--out", str(out), TOY_SIGNAL="9@3")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(journal(out)) == 2  # the search and the first trial
    assert (out / "trial-001").is_dir()
    if torn:
        with (out / "trials.jsonl").open("a") as file:
            file.write('{"trial": 1, "val')
    first = (out / "trial-000" / "metrics.json").stat().st_mtime_ns
    tune(toy_yaml, over=OVER, by=NLL, trials=3, out=out, registry=registry)
    assert journal(out) == journal(whole)
    assert (out / "trial-000" / "metrics.json").stat().st_mtime_ns == first


def test_a_trial_that_fails_is_told_and_the_search_goes_on(
    toy_yaml: Path, registry: Registry, tmp_path: Path
) -> None:
    fusers: list[Any] = ["gate", "mean", "gone"]
    found = tune(
        toy_yaml, over={"fuser.name": fusers}, by=ACCURACY, trials=9, out=tmp_path / "out", registry=registry
    )
    told = {one.values["fuser.name"]: one for one in found.tuned.tried}
    assert told.keys() == set(fusers)  # and no place is left for a fourth trial
    assert told["gone"].score is None
    assert told["gone"].failed.startswith("fuser.name: unknown fuser 'gone'")
    assert any(
        note.startswith(f"Failed, and told the search nothing: {told['gone'].name}: ")
        for note in found.tuned.notes()
    )
    assert found.tuned.best.values["fuser.name"] != "gone"


def test_a_score_that_is_not_finite_is_a_failure(toy_yaml: Path, registry: Registry, tmp_path: Path) -> None:
    rates: dict[str, Axis | str] = {"train.lr": [0.01, 1e30]}
    found = tune(toy_yaml, over=rates, by=NLL, trials=2, out=tmp_path / "out", registry=registry)
    good, bad = found.tuned.tried
    assert good.score is not None
    assert math.isfinite(good.score)
    assert bad.score is None
    assert "are NaN or infinite: the training has diverged (lower train.lr)" in bad.failed


def test_where_all_fail_there_is_nothing_to_tell(toy_yaml: Path, registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no trial came to its end, such as trial 0: width: "):
        tune(toy_yaml, over={"width": [0, -1]}, by=NLL, trials=2, out=tmp_path / "out", registry=registry)


def test_an_unknown_metric_ends_the_search_at_its_first_trial_which_another_one_uses(
    toy_yaml: Path, registry: Registry, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(
        RecipeError, match=r"by: unknown metric 'subsets/image\+text\+audio/acuracy'; did you mean"
    ):
        tune(toy_yaml, over=OVER, by="subsets/image+text+audio/acuracy", trials=3, out=out, registry=registry)
    trained = (out / "trial-000" / "metrics.json").stat().st_mtime_ns
    tune(toy_yaml, over=OVER, by=ACCURACY, trials=1, out=out, registry=registry)
    assert (out / "trial-000" / "metrics.json").stat().st_mtime_ns == trained


def test_another_search_in_the_folder_is_refused(toy_yaml: Path, registry: Registry, tmp_path: Path) -> None:
    out = tmp_path / "out"
    tune(toy_yaml, over={"width": [8]}, by=NLL, trials=1, out=out, registry=registry)
    with pytest.raises(RunError, match=r"has another search, .*choose another --out"):
        tune(toy_yaml, over={"width": [8, 9]}, by=NLL, trials=1, out=out, registry=registry)
    with pytest.raises(RunError, match="has another search"):
        tune(toy_yaml, over={"width": [8]}, by=NLL, trials=1, seed=1, out=out, registry=registry)


def test_two_processes_search_together(
    toy_yaml: Path, torchrun: Any, registry: Registry, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ["--over", "train.lr=log:1e-3:1e-1", "--by", NLL, "--trials", "2", "--out", str(out)]
    done = torchrun(2, "-m", "fusion", "tune", str(toy_yaml), *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("best    ") == 1
    _, first, second = journal(out)
    assert first["values"] == {"train.lr": 0.01}
    for line in (first, second):
        assert Run(out / f"trial-{line['trial']:03d}").metrics[NLL] == line["score"]
