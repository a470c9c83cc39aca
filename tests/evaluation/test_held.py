"""Rows held back give temperatures and say what is known; foreign rows are told from those measured."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from sklearn.metrics import roc_auc_score

from fusion import DataError, Model, Predictor, Recipe, RecipeError, Registry
from fusion.evaluation.evaluate import Evaluation, evaluate
from fusion.evaluation.temperature import fit
from tests.evaluation.toys import toy_rows

MakeRecipe, MakeModel = Callable[..., Recipe], Callable[[Recipe], Model]
HELD = {"held": {"name": "toy-rows", "rows": [0, 3, 2, 4, 7, 10]}}  # 7 has no label, 10 cannot be read
FOREIGN = {"odd": {"name": "toy-rows", "rows": [3, 1]}, "more": {"name": "toy-rows", "rows": [2, 10, 9]}}
TEST = [0, 1, 2, 4, 5, 8]


@pytest.fixture
def measured(toys: Registry, toy_recipe: MakeRecipe, toy_model: MakeModel) -> Callable[..., Any]:
    def run(**sections: Any) -> tuple[Predictor, Evaluation]:
        recipe = toy_recipe(sources={"test": TEST}, **sections)
        model = toy_model(recipe)
        return Predictor(model, recipe), evaluate(model, recipe, toys, Accelerator(cpu=True), {})

    return run


def shown(numbers: list[int], subset: str) -> list[dict[str, Any]]:
    """Return just these modalities of rows."""
    return [{name: toy_rows()[number][name] for name in subset.split("+")} for number in numbers]


def test_a_temperature_is_fitted_for_each_subset_on_the_rows_held_back(measured: Any) -> None:
    predictor, found = measured(calibrate=HELD)
    assert found.temperatures
    for subset, held, there in [("sight", [0, 3, 2, 4], TEST), ("sight+sound", [0, 2, 4], [0, 2, 4, 8])]:
        answers = predictor.predict(shown(held, subset))["colour"].score
        labels = torch.tensor([number % 3 for number in held])
        temperature = fit(answers, labels)
        key = f"subsets/{subset}/calibrated"
        if temperature is None:  # all are right
            assert f"{key}/nll" not in found.metrics
            continue
        assert found.metrics[f"{key}/temperature"] == pytest.approx(temperature, rel=1e-5)
        scored = predictor.predict(shown(there, subset))["colour"].score.log().div(temperature).softmax(dim=1)
        chosen = scored[range(len(there)), [number % 3 for number in there]]
        assert found.metrics[f"{key}/nll"] == pytest.approx(-chosen.log().mean().item(), rel=1e-4)
    assert found.metrics["subsets/sight/calibrated/temperature"] != pytest.approx(1)


def test_rows_held_back_are_not_cut_to_those_that_are_measured(measured: Any) -> None:
    whole, cut = measured(calibrate=HELD)[1], measured(calibrate=HELD, limit=1)[1]
    assert cut.metrics["evaluate/rows"] == 1
    assert cut.temperatures == whole.temperatures


def test_what_is_measured_does_not_change_by_it(measured: Any) -> None:
    plain, calibrated = measured()[1].metrics, measured(calibrate=HELD, foreign=FOREIGN)[1].metrics
    assert plain.items() <= calibrated.items()
    added = {key for key in calibrated.keys() - plain.keys() if not key.startswith("foreign/")}
    assert added
    assert all("/calibrated/" in key for key in added)


def test_foreign_rows_are_told_by_energy_confidence_and_distance(measured: Any) -> None:
    predictor, found = measured(calibrate=HELD, foreign=FOREIGN)
    model = predictor.model
    known = torch.nn.functional.normalize(predictor.encode(shown([0, 3, 2, 4, 7], "sight")).fused)
    looks: dict[str, list[float]] = {"energy": [], "confidence": [], "distance": []}
    for number in [*TEST, 3, 1]:
        fused = predictor.encode(shown([number], "sight")).fused
        with torch.no_grad():
            looks["energy"].append(-model.objectives["colour"].head(fused).logsumexp(1).item())
        looks["confidence"].append(
            1 - predictor.predict(shown([number], "sight"))["colour"].score.max().item()
        )
        apart = torch.cdist(torch.nn.functional.normalize(fused), known)
        looks["distance"].append(apart.max().item())  # five are known: the tenth is the farthest
    for name, look in looks.items():
        expected = roc_auc_score([0] * len(TEST) + [1, 1], [round(one, 4) for one in look])
        assert found.metrics[f"foreign/odd/sight/{name}"] == pytest.approx(expected)
    assert found.metrics["foreign/odd/sight/rows"] == 2
    assert found.metrics["foreign/more/sight/rows"] == 1  # 9 has no sight, 10 cannot be read
    assert [row.source for row in found.bad] == ["evaluate/calibrate/held", "evaluate/foreign/more"]
    assert found.metrics["evaluate/bad_rows"] == 0


def test_without_rows_held_back_there_is_no_distance(measured: Any) -> None:
    metrics = measured(foreign=FOREIGN)[1].metrics
    assert "foreign/odd/sight/energy" in metrics
    assert not [key for key in metrics if key.endswith("/distance")]


def test_a_space_without_tasks_tells_by_distance_alone(measured: Any) -> None:
    align = {"align": {"name": "contrastive"}}
    metrics = measured(calibrate=HELD, foreign=FOREIGN, objectives=align)[1].metrics
    ways = {key.rpartition("/")[2] for key in metrics if key.startswith("foreign/")}
    assert ways == {"distance", "rows"}


def test_the_report_gets_what_it_draws(measured: Any) -> None:
    details = measured(calibrate=HELD, foreign=FOREIGN)[1].details
    trust = details["calibration"]["sight/colour"]
    assert set(trust) == {"", "calibrated"}
    assert sum(rows for rows, _, _ in trust[""]["bins"]) == len(TEST)
    assert trust[""]["risk"][-1][0] == 1
    for shares in details["foreign"]["sight/colour/energy"]["shares"].values():
        assert sum(shares) == pytest.approx(1)


@pytest.mark.parametrize("section", ["sources", "foreign"])
def test_rows_that_are_reported_on_fit_no_temperature(toy_recipe: MakeRecipe, section: str) -> None:
    same = {"name": "toy-rows", "rows": TEST}
    sections = {"foreign": {"test": same}} if section == "foreign" else {}
    with pytest.raises(
        RecipeError, match=rf"evaluate\.calibrate\.mine: has the rows of evaluate\.{section}\.test"
    ):
        toy_recipe(
            sources={"test" if section == "sources" else "x": TEST if section == "sources" else [1]},
            calibrate={"mine": same},
            **sections,
        )


def test_nor_do_rows_of_the_training(toy_recipe: MakeRecipe) -> None:
    with pytest.raises(
        RecipeError, match=r"evaluate\.calibrate\.mine: has the rows of sources\.train; a temp"
    ):
        toy_recipe(sources={"test": TEST}, calibrate={"mine": {"name": "toy-rows", "rows": None}})


def test_without_anything_to_measure_they_serve_nothing(toy_recipe: MakeRecipe) -> None:
    with pytest.raises(RecipeError) as found:
        toy_recipe(sources={}, calibrate=HELD, foreign=FOREIGN)
    assert [problem.path for problem in found.value.problems] == ["evaluate.calibrate", "evaluate.foreign"]


@pytest.mark.parametrize("section", ["calibrate", "foreign"])
def test_a_source_of_which_no_row_can_be_read_is_an_error(section: str, measured: Any) -> None:
    with pytest.raises(DataError, match=rf"evaluate\.{section}\.gone: no row can be read, such as row 0"):
        measured(**{section: {"gone": {"name": "toy-rows", "rows": [10]}}})


def test_rows_held_back_that_cannot_be_read_are_told(measured: Any) -> None:
    _, found = measured(calibrate=HELD)
    assert [(row.source, row.row) for row in found.bad] == [("evaluate/calibrate/held", 5)]


def test_a_source_that_is_empty_is_an_error(measured: Any) -> None:
    with pytest.raises(DataError, match=r"evaluate\.calibrate\.\w+ is empty"):
        measured(calibrate={"none": {"name": "toy-rows", "rows": []}})
