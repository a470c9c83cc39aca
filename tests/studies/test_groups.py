"""Runs become versions: apart in nothing but the seed, and named by what tells them apart."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fusion import Run, RunError
from fusion.studies.compare import baselines
from fusion.studies.groups import group, runs_in

Made = Callable[..., Run]
LORA = {"mode": "lora", "rank": 4}


def _names(runs: list[Run]) -> dict[str, list[int]]:
    return {one.version.name: list(one.runs) for one in group(runs)[0]}


def test_runs_that_differ_in_the_seed_alone_are_one_version(made: Made) -> None:
    runs = [
        made(f"{name}-{seed}", {}, {"train.seed": seed, "train.lr": rate, "name": f"{name}{seed}"})
        for name, rate in (("slow", 0.01), ("fast", 0.5))
        for seed in (0, 1)
    ]
    assert _names(runs) == {"lr=0.01": [0, 1], "lr=0.5": [0, 1]}


def test_the_run_that_it_starts_from_may_have_the_seed_in_its_name(made: Made) -> None:
    runs = [
        made(f"{name}-{seed}", {}, {"train.seed": seed, "init": start and start.format(seed)})
        for name, start in (("a", None), ("b", "runs/fashion-{}"), ("c", "runs/mnist_{}/model.safetensors"))
        for seed in (0, 10)
    ]
    assert list(_names(runs).values()) == [[0, 10]] * 3
    assert list(_names(runs))[:2] == ["scratch", "init=fashion"]


def test_numbers_in_other_names_are_no_seed(made: Made) -> None:
    folds = [made(f"f-{n}", {}, {"train.seed": n, "sources.heard.view": [f"fold-{n}"]}) for n in (1, 2, 3)]
    assert [len(one.runs) for one in group(folds)[0]] == [1, 1, 1]
    same = [made(f"s-{n}", {}, {"train.seed": n, "sources.heard.view": ["part_0"]}) for n in (0, 1)]
    assert [len(one.runs) for one in group(same)[0]] == [2]


def test_a_teacher_is_an_earlier_run(made: Made) -> None:
    taught = {"teacher": "runs/seeing-0"}
    versions = {one.version.name: one for one in group([made("a-0", {}, taught), made("b-0", {})])[0]}
    assert list(versions) == ["teacher=seeing", "teacher=null"]
    assert baselines(list(versions.values())) == {"teacher=seeing": "teacher=null"}


def test_options_that_follow_from_a_component_are_not_named(made: Made) -> None:
    runs = [
        made("a", {}, {"encoders.image.tune": {"mode": "full"}}),
        made("b", {}, {"encoders.image.tune": LORA}),
        made("c", {}, {"encoders.image.tune": {**LORA, "rank": 8}, "fuser": {"name": "mean"}}),
    ]
    assert list(_names(runs)) == ["full attend", "lora rank=4 attend", "lora rank=8 mean"]


def test_numbers_are_an_axis(made: Made) -> None:
    runs = [
        made(f"{rate}-{rows}", {}, {"train.lr": rate, "sources.heard.rows": rows})
        for rate in (0.1, 0.2)
        for rows in (10, 100)
    ]
    groups, amount = group(runs)
    assert amount == "sources.heard.rows"
    assert [(one.version.line, one.version.amount) for one in groups] == [
        ("lr=0.1", 10),
        ("lr=0.1", 100),
        ("lr=0.2", 10),
        ("lr=0.2", 100),
    ]


def test_beyond_a_few_differences_the_folder_has_the_better_name(made: Made) -> None:
    many = {"width": 4, "train.clip": 2.0, "train.warmup": 0.5, "train.keep": 9, "fuser.heads": 1}
    many |= {"train.lr": 0.5, "train.seed": 3}
    assert list(_names([made("plain-0", {}), made("other-3", {}, many)])) == ["plain", "other"]


def test_a_run_that_others_start_from_is_apart_when_it_is_measured_on_other_rows(made: Made) -> None:
    elsewhere = {"evaluate": {"sources": {"other": {"name": "toy"}}}}
    before = made("before-0", {}, elsewhere)
    same = made("same-0", {}, {"train.lr": 0.2})
    runs = [
        before,
        same,
        made("x-0", {}, {"init": str(before.folder)}),
        made("y-0", {}, {"init": str(same.folder)}),
    ]
    compared = {one.version.name: one.version.compared for one in group(runs)[0]}
    assert compared == {
        "scratch lr=0.2": True,
        "init=before lr=0.01": True,
        "init=same lr=0.01": True,
        "before": False,
    }


@pytest.mark.parametrize("turned", [False, True])
def test_one_that_is_measured_on_the_same_rows_is_enough_to_compare(made: Made, turned: bool) -> None:
    origin = made("origin-0", {})
    elsewhere = {"evaluate": {"sources": {"other": {"name": "toy"}}}}
    later = [
        made("same-0", {}, {"init": str(origin.folder), "train.lr": 0.2}),
        made("other-0", {}, {"init": str(origin.folder), **elsewhere}),
    ]
    found = group([origin, *(reversed(later) if turned else later)])[0]
    assert all(one.version.compared for one in found)


def test_two_runs_of_one_recipe_and_seed_are_refused(made: Made) -> None:
    with pytest.raises(RunError, match=r"b and .*a have the same recipe and seed; leave one out"):
        group([made("a", {}), made("b", {})])


def test_a_folder_stands_for_the_runs_in_it(made: Made, tmp_path: Path) -> None:
    first, second = made("study/a-0", {}), made("study/b-0", {}, {"width": 4})
    (tmp_path / "study/study.json").write_text("{}")
    assert [run.folder for run in runs_in([tmp_path / "study"])[0]] == [first.folder, second.folder]
    given = [second.folder, tmp_path / "study/study.json", second.folder]
    assert [run.folder for run in runs_in(given)[0]] == [second.folder]


def test_what_is_no_finished_run_is_refused(made: Made, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run: it has no recipe.yaml"):
        runs_in([tmp_path / "none"])
    run = made("a", {})
    (run.folder / "manifest.json").unlink()
    with pytest.raises(RunError, match=r"a is not finished; go on with it"):
        runs_in([run.folder])
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"no finished run is given"):
        runs_in([tmp_path / "file"])


def test_what_is_not_finished_in_a_folder_is_left_out_and_named(made: Made, tmp_path: Path) -> None:
    first, second = made("study/a-0", {}), made("study/a-1", {}, {"train.seed": 1})
    (second.folder / "manifest.json").unlink()
    runs, unfinished = runs_in([tmp_path / "study"])
    assert ([run.folder for run in runs], unfinished) == ([first.folder], ["a-1"])
