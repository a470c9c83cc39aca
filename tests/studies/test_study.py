"""A study trains what is not trained, once, also after an interruption, a failure, and on two processes."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fusion import DataError, RecipeError, Registry, Run, RunError, TrainingError, study
from fusion.recipe.differences import differences
from fusion.recipe.text import dump
from fusion.studies.study import Outcome
from tests.training.toys import recipe, weights

EVERYTHING = {"sources": {"all": {"name": "toy", "view": ["image", "text", "audio"]}}, "retrieval": []}
SHORT, LONG = ["train.steps=3"], ["train.steps=8", "width=4"]
ACCURACY = "subsets/image+text+audio/accuracy"


@pytest.fixture
def started(tmp_path: Path) -> Callable[..., Path]:
    """Write a recipe with a section `study` and return its path."""

    def write(changes: dict[str, Any] | None = None, **section: Any) -> Path:
        settings = {"evaluate": EVERYTHING, "train.checkpoint_every": 2, "study": section}
        path = tmp_path / "toy.yaml"
        made = recipe({**settings, **(changes or {})})
        path.write_text(dump(made.model_dump(mode="json", exclude_unset=True)), "utf-8")
        return path

    return write


def _times(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.parent != folder
    }


def test_versions_and_seeds_are_trained_once(
    started: Callable[..., Path], registry: Registry, tmp_path: Path
) -> None:
    path = started(versions={"short": SHORT, "long": LONG}, seeds=2)
    found = study(path, out=tmp_path / "out", registry=registry)
    assert {name: list(runs) for name, runs in found.runs.items()} == {"short": [0, 1], "long": [0, 1]}
    assert [found.runs["long"][1].recipe.width, found.runs["long"][1].recipe.train.seed] == [4, 1]
    values = [run.metrics[ACCURACY] for run in found.runs["short"].values()]
    spread = found.findings.comparison.values["short"][ACCURACY]
    assert spread.mean == pytest.approx(sum(values) / 2)
    before = _times(tmp_path / "out")
    assert len(before) > 20
    again = study(path, out=tmp_path / "out", seeds=3, registry=registry)
    after = _times(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    assert {name.partition("/")[0] for name in after.keys() - before.keys()} == {"short-2", "long-2"}
    assert again.findings.comparison.values["short"][ACCURACY].by_seed.keys() == {0, 1, 2}
    assert again.page.is_file()
    assert json.loads((tmp_path / "out/study.json").read_text("utf-8"))["versions"].keys() == {
        "short",
        "long",
    }


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_after_an_interruption_it_goes_on_as_if_there_had_been_none(
    number: signal.Signals, started: Callable[..., Path], registry: Registry, python: Any, tmp_path: Path
) -> None:
    path = started(versions={"short": SHORT, "long": LONG}, seeds=1)
    words = ("-m", "fusion", "study", str(path), "--out", str(tmp_path / "out"))
    killed = python(*words, TOY_SIGNAL=f"{int(number)}@5")
    assert killed.returncode == (-9 if number == signal.SIGKILL else 130), killed.stderr
    if number == signal.SIGINT:
        assert "long-0 is stopped; the same command goes on from there" in killed.stderr
    assert Run(tmp_path / "out/short-0").finished
    assert not Run(tmp_path / "out/long-0").finished
    before = _times(tmp_path / "out/short-0")
    done = python(*words)
    assert done.returncode == 0, done.stderr
    assert "[1/2] short-0: is finished\n[2/2] long-0: goes on\n" in done.stderr
    assert _times(tmp_path / "out/short-0") == before
    whole = study(path, out=tmp_path / "whole", registry=registry).runs["long"][0]
    resumed = Run(tmp_path / "out/long-0")
    assert weights(whole).keys() == weights(resumed).keys()
    assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(whole).items())
    assert whole.metrics[ACCURACY] == resumed.metrics[ACCURACY]


def test_a_run_with_another_recipe_is_refused_before_anything_is_trained(
    started: Callable[..., Path], registry: Registry, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    study(started(versions={"long": LONG}, seeds=1), out=out, registry=registry)
    path = started(versions={"new": SHORT, "long": [*LONG, "train.lr=0.5"]}, seeds=1)
    with pytest.raises(RunError, match=r"long-0 has another recipe: train.lr is 0.5, there 0.01; choose"):
        study(path, out=out, registry=registry)
    assert not (out / "new-0").exists()
    evaluated = started(versions={"long": [*LONG, "evaluate.limit=3"]}, seeds=1)
    with pytest.raises(RunError, match=r"evaluate.limit is 3, there None"):
        study(evaluated, out=out, registry=registry)
    (out / "long-0/manifest.json").unlink()  # a stopped run is not evaluated yet
    study(evaluated, out=out, registry=registry)
    assert Run(out / "long-0").metrics["evaluate/rows"] == 3


def test_a_version_starts_from_the_run_of_its_seed(
    started: Callable[..., Path], registry: Registry, tmp_path: Path
) -> None:
    path = started(versions={"after": ["init=@before", *SHORT], "before": LONG[:1]}, seeds=2)
    study(path, out=tmp_path / "out", retention=False, registry=registry)
    assert list((tmp_path / "out").rglob("retention.json")) == []
    found = study(path, out=tmp_path / "out", registry=registry)
    for seed in (0, 1):
        run = found.runs["after"][seed]
        earlier = found.runs["before"][seed]
        assert run.manifest["init"]["sha256"] == earlier.manifest["files"]["model.safetensors"]
        assert (run.folder / "retention.json").is_file()
        changed = differences(run.recipe, earlier.recipe)
        assert changed.keys() == {"init", "train.steps"}


def test_a_failure_is_told_and_the_others_are_trained(
    started: Callable[..., Path], registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    versions = {
        "fails": ["sources={gone: {name: toy-gone}}"],
        "after": ["init=@fails"],
        "nan": [
            "encoders.audio={name: toy-brittle}",
            f"sources.heard.spiked={list(range(17))}",  # every batch has some of them
        ],
        "works": SHORT,
    }
    found = study(started(versions=versions, seeds=1), out=tmp_path / "out", registry=registry)
    assert list(found.runs) == ["works"]
    failed = found.findings.failed
    assert failed.keys() == {"fails-0", "after-0", "nan-0"}
    assert failed["fails-0"] == "sources.gone: no such file: none.csv"
    assert failed["after-0"] == "it starts from fails-0, which failed"
    assert "failed: sources.gone: no such file: none.csv" in capsys.readouterr().err
    assert "Failed and left out: fails-0: sources.gone" in found.page.read_text("utf-8")
    shutil.rmtree(tmp_path / "out/works-0")
    broken = started(versions={"nan": versions["nan"]}, seeds=1)
    with pytest.raises(
        TrainingError, match=r"no run of the study came to its end, such as nan-0: \d+ steps "
    ):
        study(broken, out=tmp_path / "none", registry=registry)


def test_data_that_are_nowhere_are_told_before_the_first_training(
    started: Callable[..., Path], registry: Registry, tmp_path: Path
) -> None:
    gone = started(versions={"fails": ["sources={gone: {name: toy-gone}}"]}, seeds=1)
    with pytest.raises(DataError, match=r"sources\.gone: no such file: none\.csv"):
        study(gone, out=tmp_path / "out", registry=registry)
    assert not (tmp_path / "out").exists()


def test_two_processes_train_a_study_together(
    started: Callable[..., Path], python: Any, torchrun: Any, tmp_path: Path
) -> None:
    alike = {f"encoders.{name}.dropout": 0.0 for name in ("image", "text", "audio")} | {"fuser.dropout": 0.0}
    path = started(alike, versions={"before": SHORT, "after": ["init=@before", *SHORT]}, seeds=2)
    words = ("-m", "fusion", "study", str(path), "--json", "--out")
    two = torchrun(2, *words, str(tmp_path / "two"))
    assert two.returncode == 0, two.stderr
    again = torchrun(2, *words, str(tmp_path / "two"))
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("is finished") == 4
    one = python(*words, str(tmp_path / "one"))
    assert json.loads(again.stdout) == json.loads(two.stdout)
    first, second = json.loads(one.stdout), json.loads(two.stdout)
    values = [found["versions"]["after"]["values"][ACCURACY]["by_seed"] for found in (first, second)]
    assert values[0] == pytest.approx(values[1], abs=0.05)
    kept = [found["versions"]["after"]["kept"][ACCURACY]["after"]["by_seed"] for found in (first, second)]
    assert kept[0].keys() == {"0", "1"}
    assert kept[0] == pytest.approx(kept[1], abs=0.05)


def test_from_python_versions_and_values_are_arguments(registry: Registry, tmp_path: Path) -> None:
    made = recipe({"evaluate": EVERYTHING, "train.steps": 2})
    found = study(
        made,
        ["train.batch=4"],
        out=tmp_path / "out",
        versions={"narrow": ["width=4"], "wide": ["width=8"]},
        over={"sources.heard.rows": [8, 17]},
        seeds=1,
        baseline="wide",
        measure=["subsets/image/accuracy"],
        registry=registry,
    )
    assert isinstance(found, Outcome)
    with pytest.raises(RecipeError, match=r"study: seeds: 0: input should be greater than or equal to 1"):
        study(made, seeds=0, registry=registry)
    assert list(found.runs) == ["narrow rows=8", "narrow rows=17", "wide rows=8", "wide rows=17"]
    assert found.findings.comparison.baselines["narrow rows=17"] == "wide rows=17"
    assert {run.recipe.train.batch for runs in found.runs.values() for run in runs.values()} == {4}
    assert found.findings.comparison.measures == ["subsets/image/accuracy"]
