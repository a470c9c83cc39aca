"""Means, deviations and gains are those worked out by hand; what is missing stays missing."""

import math
from collections.abc import Callable

import pytest

from fusion import RecipeError, Run
from fusion.studies.compare import Comparison, Group, Spread, compare, default_measures
from fusion.studies.names import Version
from fusion.studies.notes import notes

Compared = Callable[..., Comparison]
ACCURACY = "subsets/image/accuracy"
SCRATCH, TRANSFER, LORA = [0.5, 0.6, 0.7], [0.7, 0.75, 0.95], [0.45, 0.7, 0.6]


def test_mean_and_deviation_are_over_the_seeds(compared: Compared) -> None:
    found = compared({("scratch",): SCRATCH, ("transfer",): TRANSFER})
    assert found.values["scratch"][ACCURACY].mean == pytest.approx(0.6)
    assert found.values["scratch"][ACCURACY].deviation == pytest.approx(0.1)  # (.01 + 0 + .01) / 2
    assert found.values["transfer"][ACCURACY].mean == pytest.approx(0.8)
    assert found.values["transfer"][ACCURACY].deviation == pytest.approx(math.sqrt(0.0175))  # .035 / 2


def test_gains_are_paired_by_seed(compared: Compared) -> None:
    found = compared({("scratch",): SCRATCH, ("transfer",): TRANSFER, ("lora",): LORA}, baseline="scratch")
    gain = found.gains["transfer"][ACCURACY]
    assert gain.by_seed == pytest.approx({0: 0.2, 1: 0.15, 2: 0.25})
    assert (gain.mean, gain.deviation) == pytest.approx((0.2, 0.05))  # unpaired it would be 0.17
    assert not gain.within
    loss = found.gains["lora"][ACCURACY]
    assert loss.by_seed == pytest.approx({0: -0.05, 1: 0.1, 2: -0.1})
    assert (loss.mean, loss.deviation) == pytest.approx((-0.05 / 3, math.sqrt(0.065 / 6)))
    assert loss.within
    assert "scratch" not in found.gains


def test_a_gain_is_of_the_seeds_that_both_have(compared: Compared) -> None:
    found = compared({("scratch",): [0.5, 0.6, 0.7], ("transfer",): [0.6, 0.8]})
    assert found.gains["transfer"][ACCURACY].by_seed == pytest.approx({0: 0.1, 1: 0.2})


def test_less_of_an_error_is_a_gain(compared: Compared) -> None:
    key = "subsets/image/mae"
    found = compared({("scratch",): [{key: 3.0}, {key: 5.0}], ("transfer",): [{key: 2.0}, {key: 3.5}]})
    assert found.gains["transfer"][key].by_seed == {0: 1.0, 1: 1.5}


def test_one_seed_has_no_deviation(compared: Compared) -> None:
    found = compared({("scratch",): [0.5], ("transfer",): [0.9]})
    assert found.values["scratch"][ACCURACY].deviation is None
    assert found.gains["transfer"][ACCURACY].deviation is None
    assert found.gains["transfer"][ACCURACY].within


def test_what_was_not_measured_is_in_no_mapping(compared: Compared) -> None:
    other = "zero_shot/audio/accuracy"
    found = compared(
        {
            ("scratch",): [{ACCURACY: 0.5}, {ACCURACY: 0.6}],
            ("transfer",): [{ACCURACY: 0.7, other: 0.3}, {ACCURACY: None, other: float("nan")}],
        },
        measures=[ACCURACY, other],
    )
    assert other not in found.values["scratch"]
    assert other not in found.gains["transfer"]
    assert found.values["transfer"][ACCURACY].by_seed == {0: 0.7}
    assert found.values["transfer"][other].by_seed == {0: 0.3}


def test_the_baseline_is_that_at_the_same_point(compared: Compared) -> None:
    points = [("limit=10",), ("limit=100",)]
    versions = {(name, *point): [0.5] for name in ("scratch", "transfer", "lora") for point in points}
    found = compared(versions, baseline="scratch")
    assert found.baselines == {
        f"{name} {limit}": f"scratch {limit}"
        for name in ("transfer", "lora")
        for limit in ("limit=10", "limit=100")
    }
    whole = compare(list(found.groups.values()), baseline="scratch limit=10")
    assert set(whole.baselines.values()) == {"scratch limit=10"}
    assert len(whole.baselines) == 5


def test_the_first_without_an_earlier_run_is_the_baseline(compared: Compared) -> None:
    versions = {("transfer",): [0.5], ("scratch",): [0.5], ("other",): [0.5]}
    found = compared(versions, changes={("transfer",): {"init": "runs/earlier"}})
    assert found.baselines == {"transfer": "scratch", "other": "scratch"}


def test_a_version_that_others_start_from_is_measured_and_not_compared(compared: Compared) -> None:
    found = compared(
        {("fashion",): [0.9], ("scratch",): [0.5], ("transfer",): [0.6]}, origins=(("fashion",),)
    )
    assert list(found.compared) == ["scratch", "transfer"]
    assert found.values["fashion"][ACCURACY].mean == 0.9
    assert found.baselines == {"transfer": "scratch"}


def test_a_measure_and_a_baseline_that_are_not_there_are_told(compared: Compared) -> None:
    versions = {("scratch",): [0.5], ("transfer",): [0.6]}
    with pytest.raises(RecipeError, match=r"unknown metric 'acuracy'.*known: subsets/image/accuracy"):
        compared(versions, measures=["acuracy"])
    groups = [Group(Version((name,)), {}) for name in ("scratch", "transfer")]
    with pytest.raises(RecipeError, match=r"baseline: unknown version 'sratch'"):
        compare(groups, baseline="sratch")


def test_the_measures_of_a_run_are_tasks_of_all_modalities_then_zero_shot_then_retrieval() -> None:
    metrics = {
        "train/seconds": 3.0,
        "retrieval/image->text/recall@1": 0.1,
        "retrieval/image->text/hit@1": 0.2,
        "zero_shot/image/accuracy": 0.3,
        "subsets/image/kind/accuracy": 0.4,
        "subsets/image+text/kind/rows": 7,
        "subsets/image+text/kind/accuracy": 0.5,
        "subsets/image+text/kind/averaged/accuracy": 0.5,
        "subsets/image+text/age/mae": 2.0,
        "source/a/subsets/image+text/kind/accuracy": 0.5,
    }
    assert default_measures(metrics) == [
        "subsets/image+text/kind/accuracy",
        "subsets/image+text/age/mae",
        "zero_shot/image/accuracy",
        "retrieval/image->text/hit@1",
    ]
    assert default_measures({"train/steps": 8, "x": "text"}) == ["train/steps"]


def test_equal_numbers_have_exactly_their_mean() -> None:
    assert Spread({0: 0.1, 1: 0.1, 2: 0.1}).mean == 0.1
    assert Spread({0: 0.1, 1: 0.1, 2: 0.1}).deviation == 0.0


def test_a_group_has_the_recipe_of_its_runs(made: Callable[..., Run]) -> None:
    run = made("a-3", {}, {"train.seed": 3, "train.steps": 5})
    assert Group(Version(("a",)), {3: run}).recipe.train.steps == 5


def test_the_best_and_the_picks_are_of_the_seeds_that_all_have(compared: Compared) -> None:
    found = compared({("old",): [0.2, 0.8, 0.8], ("new",): [0.7]}, baseline="old")
    assert {name: value.by_seed for name, value in found.paired(found.deciding).items()} == {
        "old": {0: 0.2},
        "new": {0: 0.7},
    }
    assert any(text.startswith("Not the same seeds: 0, 1, 2 of old; 0 of new.") for text in notes(found))
    even = compared({("x",): [0.2, 0.8], ("y",): [0.7, 0.1]})
    assert not any(text.startswith("Not the same seeds") for text in notes(even))
