"""Candidates are ranked by what their initial encoders make of the rows, on any number of processes."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from fusion import (
    Component,
    DataError,
    Estimator,
    FusionError,
    Labelled,
    PluginError,
    Recipe,
    RecipeError,
    Registry,
    Run,
    hookimpl,
    rank,
    train,
)
from fusion.estimators.logme import LogME
from fusion.picks import complete
from fusion.transfer.labelled import labelled
from tests.training.toys import recipe, write


@pytest.fixture(scope="module")
def earlier(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that has learned the classes."""
    changes = {"train.steps": 60, "objectives": {"kind": {"name": "classify", "classes": 3}}}
    return train(recipe(changes), tmp_path_factory.mktemp("earlier") / "run", registry=registry)


@pytest.fixture(scope="module")
def candidates(earlier: Run) -> dict[str, Recipe]:
    return {"none": recipe(), "run": recipe({"init": str(earlier.folder)})}


class Rows(Estimator):
    """How many rows there are, of which a candidate needs a least number."""

    def __init__(self, *, least: int = 0) -> None:
        self.least = least

    def __call__(self, rows: Labelled) -> float | str:
        return float(len(rows.labels)) if len(rows.labels) >= self.least else f"fewer than {self.least} rows"


class Endless(Estimator):
    def __call__(self, rows: Labelled) -> float:
        return float("inf")


@pytest.fixture(scope="module")
def counting(toy: ModuleType) -> Registry:
    @hookimpl
    def fusion_estimators() -> list[Component]:
        return [Component("rows", Rows), Component("endless", Endless)]

    plugin = ModuleType("counting")
    plugin.fusion_estimators = fusion_estimators  # type: ignore[attr-defined]
    return Registry(plugins={"toy": toy, "counting": plugin})


def test_what_has_learned_the_classes_comes_before_random_weights(
    candidates: dict[str, Recipe], registry: Registry
) -> None:
    ranked = rank(candidates, registry=registry)
    assert [one.name for one in ranked] == ["run", "none"]
    assert list(ranked[0].estimates) == ["logme", "hscore", "leep", "probe"]
    learned, random = (one.estimate("logme") for one in ranked)
    assert learned > random  # type: ignore[operator]
    assert ranked[1].estimate("leep") is None
    assert ranked[1].reasons("leep") == ["it starts from no run that classifies"]
    assert ranked[0].estimate("leep") > np.log(1 / 3)  # type: ignore[operator]


def test_an_estimate_is_the_mean_over_modalities(candidates: dict[str, Recipe], registry: Registry) -> None:
    [one] = rank({"run": candidates["run"]}, ["logme"], registry=registry)
    recipe = complete(candidates["run"], registry)
    found = labelled(recipe, registry, torch.device("cpu"), 2000).rows
    expected = {name: LogME()(rows) for name, rows in found.items()}
    assert one.estimates == {"logme": pytest.approx(expected)}
    assert one.estimate("logme") == pytest.approx(sum(expected.values()) / 3)
    assert one.rows == {"image": 24, "text": 41, "audio": 17}
    [alone] = rank({"run": candidates["run"]}, ["logme"], modality="text", registry=registry)
    assert alone.estimates == {"logme": {"text": pytest.approx(expected["text"])}}


def test_a_modality_without_an_estimate_leaves_the_candidate_without(counting: Registry) -> None:
    made = {"few": recipe({"sources.heard.rows": 6}), "some": recipe()}
    ranked = rank(made, [{"name": "rows", "least": 10}], registry=counting)
    assert [(one.name, one.estimate("rows")) for one in ranked] == [
        ("some", (24 + 41 + 17) / 3),
        ("few", None),
    ]
    assert ranked[1].reasons("rows") == ["fewer than 10 rows"]
    assert ranked[1].estimates["rows"] == {"image": 24, "text": 30, "audio": "fewer than 10 rows"}


def test_the_number_of_rows_is_limited(counting: Registry) -> None:
    [one] = rank({"one": recipe()}, ["rows"], rows=10, registry=counting)
    assert one.rows["text"] == 10


def test_nothing_is_written(
    candidates: dict[str, Recipe], registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rank(candidates, ["logme"], registry=registry)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("estimators", "error", "said"),
    [
        (["logmee"], PluginError, "unknown estimator 'logmee'; did you mean 'logme'"),
        (["logme", "logme"], RecipeError, "'logme' stands twice; give names, or {name: NAME}"),
        ([{"shrinkage": 0}], RecipeError, "{'shrinkage': 0} has no name"),
        ([{"name": "hscore", "shrinkage": 2}], RecipeError, "estimator.hscore.shrinkage: 2 does not fit"),
        ([{"name": "hscore", "shrink": 0}], RecipeError, "unknown option of hscore 'shrink'; did you mean"),
        (["endless"], FusionError, "one: estimator endless gave inf, not a finite number or words"),
    ],
)
def test_estimators_that_cannot_be_used_are_refused(
    estimators: Any, error: type[Exception], said: str, counting: Registry
) -> None:
    with pytest.raises(error, match=said):
        rank({"one": recipe()}, estimators, registry=counting)


def test_a_modality_that_is_not_there_is_refused(registry: Registry) -> None:
    with pytest.raises(DataError, match="unknown modality 'images'; did you mean 'image'"):
        rank({"one": recipe()}, modality="images", registry=registry)


def test_the_candidate_that_fails_is_named(registry: Registry, tmp_path: Path) -> None:
    made = {"one": recipe(), "gone": recipe({"init": str(tmp_path / "gone")})}
    with pytest.raises(FusionError, match=r"gone: init: .*gone is not there; give a finished run"):
        rank(made, registry=registry)


@pytest.fixture
def command(earlier: Run, tmp_path: Path) -> tuple[str, ...]:
    write(recipe(), tmp_path / "toy.yaml")
    return "-m", "fusion", "rank", str(tmp_path / "toy.yaml"), "--json", "--over"


def test_two_processes_say_what_one_says(
    command: tuple[str, ...], earlier: Run, python: Any, torchrun: Any
) -> None:
    over = f"init={earlier.folder},null"
    one, two = python(*command, over), torchrun(2, *command, over)
    assert (one.returncode, two.returncode) == (0, 0), two.stderr
    assert two.stdout == one.stdout
    assert [given["value"] for given in json.loads(one.stdout)["candidates"]] == [str(earlier.folder), "null"]


def test_an_error_that_only_the_second_process_meets_is_told_once(
    command: tuple[str, ...], torchrun: Any, tmp_path: Path
) -> None:
    done = torchrun(2, *command, f"init=null,{tmp_path / 'gone'}")
    assert done.returncode != 0
    assert done.stderr.count("gone is not there; give a finished run, or a file of safetensors") == 1
