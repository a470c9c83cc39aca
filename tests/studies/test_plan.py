"""A study is planned as its recipe says: versions, points, seeds, and runs that start from others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fusion import RecipeError, Registry
from fusion.recipe.file import Draft
from fusion.recipe.schema import Study
from fusion.studies.plan import Plan, plan
from tests.training.toys import recipe

Planned = Callable[..., Plan]
MEASURED = {"sources": {"all": {"name": "toy", "view": ["image", "text", "audio"]}}}
ELSEWHERE = 'evaluate.sources={other: {name: toy, view: ["image"]}}'


@pytest.fixture
def planned(registry: Registry) -> Planned:
    def build(overrides: tuple[str, ...] = (), tiny: bool = False, **study: Any) -> Plan:
        data = recipe({"evaluate": MEASURED}).model_dump(mode="json", exclude_unset=True)
        return plan(Draft(data, {}, "toy.yaml"), overrides, Study(**study), Path("out"), registry, tiny)

    return build


def test_every_version_is_at_every_point_with_every_seed(planned: Planned) -> None:
    found = planned(
        versions={"small": ["width=4"], "large": ["width=16"]},
        over={"sources.heard.rows": [10, 100], "fuser": [{"name": "mean"}, {"name": "gate"}]},
        seeds=2,
    )
    names = [trial.folder.name for trial in found.trials]
    assert len(names) == len(set(names)) == 2 * 2 * 2 * 2
    assert names[:3] == ["small-mean-rows=10-0", "small-gate-rows=10-0", "small-mean-rows=100-0"]
    last = found.trials[-1]
    assert last.folder == Path("out/large-gate-rows=100-1")
    assert (last.recipe.width, last.recipe.fuser.name, last.recipe.train.seed) == (16, "gate", 1)
    assert last.recipe.sources["heard"].options["rows"] == 100
    assert last.version.parts == ("large", "gate", "rows=100")
    assert (last.version.amount, last.version.line) == (100, "large gate")
    assert found.amount == "sources.heard.rows"


def test_seeds_begin_with_that_of_the_recipe(planned: Planned) -> None:
    found = planned(("train.seed=5",), seeds=2)
    assert [trial.recipe.train.seed for trial in found.trials] == [5, 6]
    assert [trial.folder.name for trial in found.trials] == ["toy-5", "toy-6"]


def test_a_run_of_a_study_has_a_recipe_without_it(planned: Planned) -> None:
    found = planned(("study.seeds=7", "train.steps=3"), versions={"a": []}, seeds=1)
    assert [trial.recipe.study for trial in found.trials] == [Study()]
    assert found.trials[0].recipe.train.steps == 3


def test_a_name_stands_for_the_run_of_the_same_seed_which_is_trained_before(planned: Planned) -> None:
    found = planned(
        versions={"scratch": [], "transfer": ["init=@before"], "before": ["width=4", ELSEWHERE]},
        over={"train.lr": [0.1, 0.2]},
        seeds=2,
    )
    names = [trial.folder.name for trial in found.trials]
    assert names == [
        f"{name}-{seed}"
        for seed in (0, 1)
        for name in ("scratch-lr=0.1", "scratch-lr=0.2", "before", "transfer-lr=0.1", "transfer-lr=0.2")
    ]
    last = found.trials[-1]
    assert last.recipe.init == "out/before-1"
    assert last.needs == (Path("out/before-1"),)
    assert {trial.version.name for trial in found.trials if not trial.version.compared} == {"before"}


def test_what_others_start_from_is_compared_when_it_is_measured_on_the_same_rows(planned: Planned) -> None:
    found = planned(versions={"before": [], "after": ["init=@before"]}, seeds=1)
    assert [trial.version.compared for trial in found.trials] == [True, True]


def test_the_baseline_is_at_every_point_also_when_others_start_from_it(planned: Planned) -> None:
    found = planned(
        versions={"scratch": [], "more": ["init=@scratch"]},
        over={"sources.heard.rows": [10, 100]},
        baseline="scratch",
        seeds=1,
    )
    starts = {trial.folder.name: trial.recipe.init for trial in found.trials}
    assert starts["more-rows=10-0"] == "out/scratch-rows=10-0"
    assert starts["more-rows=100-0"] == "out/scratch-rows=100-0"


def test_a_name_may_be_a_value_of_over_and_have_a_file_after_it(planned: Planned) -> None:
    found = planned(
        versions={"a": [ELSEWHERE], "b": [ELSEWHERE], "main": []},
        over={"init": [None, "@a", "@b/model.safetensors"]},
        seeds=1,
    )
    starts = {trial.folder.name: trial.recipe.init for trial in found.trials if trial.version.compared}
    assert starts == {
        "main-init=null-0": None,
        "main-init=_a-0": "out/a-0",
        "main-init=_b_model.safetensors-0": "out/b-0/model.safetensors",
    }


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ({"versions": {"a": ["init=@b"]}}, r"study.versions.a: @b: unknown version 'b'; known: a"),
        ({"over": {"init": ["@b"]}}, r"study.over: @b: unknown version 'b'; known: none"),
        (
            {"versions": {"a": ["init=@c"], "b": ["init=@a"], "c": ["init=@b"]}},
            r"study.versions.a: starts from itself: a -> c -> b -> a",
        ),
        ({"versions": {"a": ["init=@a"]}}, r"starts from itself: a -> a"),
        (
            {
                "versions": {"s": [], "o": ["init=@s"], "t": ["init=@o"]},
                "over": {"width": [4, 8]},
                "baseline": "s",
            },
            r"study.versions.o: starts from the baseline, @s, of which there is one at each point",
        ),
        ({"over": {"width": [4, 4]}}, r"two versions are both called 'width=4'"),
        ({"versions": {"a": [], "b": ["widht=3"]}}, r"toy.yaml, version 'b': widht: unknown key"),
        (
            {"over": {"fuser": [{"name": "mean"}, {"name": "gaet"}]}},
            r"version 'gaet': fuser.name: unknown fuser 'gaet'",
        ),
    ],
)
def test_a_mistake_is_told_before_anything_is_trained(
    planned: Planned, study: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        planned(**study)


def test_a_version_may_be_a_mapping(planned: Planned) -> None:
    given = {
        "init": "@before",
        "fuser": {"name": "lowrank", "rank": 3},
        "train.lr": 1e-05,
        "train.clip": None,
    }
    found = planned(versions={"before": ["width=4"], "after": given}, seeds=1)
    recipe = found.trials[1].recipe
    assert (recipe.init, recipe.train.lr, recipe.train.clip) == ("out/before-0", 1e-05, None)
    assert (recipe.fuser.name, recipe.fuser.options["rank"]) == ("lowrank", 3)


def test_tiny_runs_start_from_tiny_runs_of_the_study_only(planned: Planned) -> None:
    versions = {"a": [ELSEWHERE], "b": ["init=@a"], "c": ["init=runs/large"]}
    found = planned(tiny=True, versions=versions, seeds=1)
    starts = {trial.version.name: trial.recipe.init for trial in found.trials}
    assert starts == {"a": None, "b": "out/a-0", "c": None}
    assert {trial.recipe.train.steps for trial in found.trials} == {8}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"over": {"train.lr": []}}, r"study.over: .*train.lr has no values"),
        ({"versions": {"after": 3}}, r"study.versions.after: 3: input should be a valid list"),
        ({"versions": [3]}, r"study.versions: \[3\]: input should be a valid dictionary"),
        ({"seeds": 0}, r"study.seeds: 0: "),
    ],
)
def test_a_section_that_cannot_be_read_is_a_mistake(section: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe({"study": section})
