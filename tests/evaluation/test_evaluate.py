"""What is measured, over which rows, on sources in which modalities and labels are absent."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from fusion import DataError, Model, Predictor, Recipe, Registry, Run, load
from fusion.evaluation.evaluate import Evaluation, evaluate
from tests.evaluation.toys import COLOURS, toy_rows
from tests.processes import start

MakeRecipe, MakeModel = Callable[..., Recipe], Callable[[Recipe], Model]
Measure = Callable[..., Evaluation]
SEEN = {"train/rows/sight+text": 9, "train/rows/sound": 4, "train/rows/sound+text": 2}


@pytest.fixture
def measure(toys: Registry, toy_model: MakeModel) -> Measure:
    def run(recipe: Recipe, trained: dict[str, Any] = SEEN) -> Evaluation:
        accelerator = Accelerator()
        return evaluate(toy_model(recipe).to(accelerator.device), recipe, toys, accelerator, trained)

    return run


def test_every_subset_is_measured_on_the_rows_that_have_it_and_the_label(
    toy_recipe: MakeRecipe, measure: Measure
) -> None:
    metrics = measure(toy_recipe()).metrics
    counted = {key: value for key, value in metrics.items() if key.startswith("subsets/") and "rows" in key}
    assert counted == {
        "subsets/sight/rows": 8,  # 0 to 8 but 7
        "subsets/sound/rows": 5,  # 0, 2, 4, 6, 8
        "subsets/text/rows": 9,  # all but 5, 7, 10
        "subsets/sight+sound/rows": 5,
        "subsets/sight+text/rows": 7,  # 0 to 8 but 5, 7
        "subsets/sound+text/rows": 5,
        "subsets/sight+sound+text/rows": 5,
    }


def test_the_accuracy_of_a_subset_is_that_of_showing_only_its_modalities(
    toy_recipe: MakeRecipe, toy_model: MakeModel, measure: Measure
) -> None:
    recipe = toy_recipe()
    metrics, predictor = measure(recipe).metrics, Predictor(toy_model(recipe), recipe)
    for subset, numbers in {
        ("sight",): [0, 1, 2, 3, 4, 5, 6, 8],
        ("sight", "text"): [0, 1, 2, 3, 4, 6, 8],
        ("sight", "sound", "text"): [0, 2, 4, 6, 8],
    }.items():
        rows = [toy_rows()[number] for number in numbers]
        answers = predictor.predict([{name: row[name] for name in subset} for row in rows])["colour"]
        right = sum(value == row["label"] for value, row in zip(answers.value.tolist(), rows, strict=True))
        assert metrics[f"subsets/{'+'.join(subset)}/accuracy"] == pytest.approx(right / len(rows))


def test_averaged_is_the_mean_of_the_log_probabilities_of_single_modalities(
    toy_recipe: MakeRecipe, toy_model: MakeModel, measure: Measure
) -> None:
    recipe = toy_recipe()
    metrics, predictor = measure(recipe).metrics, Predictor(toy_model(recipe), recipe)
    assert "subsets/sight/averaged/accuracy" not in metrics
    right = 0
    numbers = [0, 1, 2, 3, 4, 6, 8]
    for row in (toy_rows()[number] for number in numbers):
        single = [predictor.predict({name: row[name]})["colour"].score[0] for name in ("sight", "text")]
        right += int(sum(score.log() for score in single).argmax() == row["label"])
    assert metrics["subsets/sight+text/averaged/accuracy"] == pytest.approx(right / len(numbers))


def test_zero_shot_classifies_every_other_modality(toy_recipe: MakeRecipe, measure: Measure) -> None:
    recipe = toy_recipe(zero_shot={"modality": "text", "templates": ["a {} thing", "{}"]})
    metrics = measure(recipe).metrics
    found = {key: value for key, value in metrics.items() if key.startswith("zero_shot/")}
    # equal samples have equal vectors, so all are right but row 3, which looks green and is red
    assert found == {
        "zero_shot/sight/accuracy": 7 / 8,
        "zero_shot/sight/rows": 8,
        "zero_shot/sound/accuracy": 1.0,
        "zero_shot/sound/rows": 5,
    }


def test_retrieval_is_measured_on_the_rows_that_have_both(toy_recipe: MakeRecipe, measure: Measure) -> None:
    metrics = measure(toy_recipe()).metrics
    assert metrics["retrieval/sight->sound/rows"] == 5  # 0, 2, 4, 6, 8
    assert metrics["retrieval/sight->text/rows"] == 8  # 0 to 8 but 5
    # samples of sight and sound are colours: three of each; each text is another
    assert metrics["retrieval/text->sight/queries"] == 8
    assert metrics["retrieval/text->sight/gallery"] == 3
    assert metrics["retrieval/sound->sight/recall@1"] == 1.0
    assert metrics["retrieval/sound->sight/hit@1"] == 1.0


def test_a_pair_that_never_met_in_training_is_emergent(toy_recipe: MakeRecipe, measure: Measure) -> None:
    metrics = measure(toy_recipe({"near": None, "far": [0, 2, 4]})).metrics
    flags = {key: value for key, value in metrics.items() if key.endswith("emergent")}
    assert len(flags) == 3 * 6  # over all, and per source
    for key, emergent in flags.items():
        assert emergent is (("sight->sound" in key) or ("sound->sight" in key))


def test_several_sources_are_also_measured_one_by_one(toy_recipe: MakeRecipe, measure: Measure) -> None:
    metrics = measure(toy_recipe({"near": [0, 1, 2, 3], "far": [4, 6, 9]})).metrics
    assert metrics["evaluate/rows"] == 7
    assert metrics["subsets/sight/rows"] == 4 + 2
    assert metrics["source/near/subsets/sight/rows"] == 4
    assert metrics["source/far/subsets/sight/rows"] == 2
    assert metrics["source/near/retrieval/sound->text/rows"] == 2
    assert metrics["source/far/subsets/text/rows"] == 3
    alone = measure(toy_recipe({"far": [4, 6, 9]})).metrics
    of_far = {key.removeprefix("source/far/"): value for key, value in metrics.items() if "/far/" in key}
    assert of_far == {key: value for key, value in alone.items() if not key.startswith("evaluate/")}
    assert not any(key.startswith("source/") for key in alone)


def test_bad_rows_are_counted_and_take_part_in_nothing(toy_recipe: MakeRecipe, measure: Measure) -> None:
    metrics = measure(toy_recipe({"test": [0, 2, 10]})).metrics
    assert (metrics["evaluate/rows"], metrics["evaluate/bad_rows"]) == (3, 1)
    assert metrics["subsets/sound/rows"] == metrics["subsets/text/rows"] == 2
    assert metrics["retrieval/sound->text/rows"] == 2


def test_a_source_of_which_nothing_can_be_read_is_an_error(toy_recipe: MakeRecipe, measure: Measure) -> None:
    with pytest.raises(
        DataError, match=r"evaluate\.sources\.far: no row can be read, such as row 0: sound: 'noise' is not"
    ):
        measure(toy_recipe({"near": [0, 1], "far": [10]}))


def test_an_empty_source_is_an_error(toy_recipe: MakeRecipe, measure: Measure) -> None:
    with pytest.raises(DataError, match=r"evaluate\.sources\.far is empty"):
        measure(toy_recipe({"near": [0, 1], "far": []}))


def test_a_recipe_without_evaluation_sources_is_not_measured(
    toy_recipe: MakeRecipe, measure: Measure
) -> None:
    assert measure(toy_recipe({})) == ({}, {}, [], {})


def test_only_the_chosen_pairs_and_subsets_are_measured(toy_recipe: MakeRecipe, measure: Measure) -> None:
    recipe = toy_recipe(retrieval=[["text", "sight"]], subsets=[["text", "sight"], ["sound"]])
    measured = {"/".join(key.split("/")[:2]) for key in measure(recipe).metrics}
    # "averaged" needs the single modalities, and only one of them was measured
    assert measured - {"evaluate/rows", "evaluate/bad_rows"} == {
        "retrieval/text->sight",
        "subsets/sight+text",
        "subsets/sound",
    }
    assert "subsets/sight+text/averaged/accuracy" not in measure(recipe).metrics


def test_the_limit_takes_the_first_rows_of_each_source(toy_recipe: MakeRecipe, measure: Measure) -> None:
    metrics = measure(toy_recipe({"near": None, "far": [9, 11, 1]}, limit=2)).metrics
    assert metrics["evaluate/rows"] == 4
    assert metrics["subsets/sight/rows"] == 2  # rows 0 and 1; 9 and 11 have none


def test_several_tasks_are_measured_each_on_the_rows_with_its_target(
    toy_recipe: MakeRecipe, measure: Measure
) -> None:
    recipe = toy_recipe(
        objectives={
            "colour": {"name": "classify", "classes": 3},
            "size": {"name": "regress", "target": "amount"},
        }
    )
    metrics = measure(recipe).metrics
    assert metrics["subsets/sight/colour/rows"] == 8  # 7 has no label
    assert metrics["subsets/sight/size/rows"] == 9
    assert {"subsets/sight/size/mae", "subsets/sight+text/size/averaged/mae"} <= set(metrics)


def test_the_mean_absolute_error_is_that_of_the_predictions(
    toy_recipe: MakeRecipe, toy_model: MakeModel, measure: Measure
) -> None:
    recipe = toy_recipe(objectives={"size": {"name": "regress", "target": "amount"}})
    predictor = Predictor(toy_model(recipe), recipe)
    numbers = range(9)
    given = [{"sight": toy_rows()[number]["sight"]} for number in numbers]
    errors = predictor.predict(given)["size"].value - torch.arange(9) / 10
    assert measure(recipe).metrics["subsets/sight/mae"] == pytest.approx(errors.abs().mean().item())


def test_averaged_numbers_are_the_mean_of_what_single_modalities_predict(
    toy_recipe: MakeRecipe, toy_model: MakeModel, measure: Measure
) -> None:
    recipe = toy_recipe(objectives={"size": {"name": "regress", "target": "amount"}})
    predictor = Predictor(toy_model(recipe), recipe)
    numbers = [0, 1, 2, 3, 4, 6, 7, 8]  # sight and text
    rows = [toy_rows()[number] for number in numbers]
    sight, text = (
        predictor.predict([{name: row[name]} for row in rows])["size"].value for name in ("sight", "text")
    )
    errors = (sight + text) / 2 - torch.tensor(numbers) / 10
    found = measure(recipe).metrics["subsets/sight+text/averaged/mae"]
    assert found == pytest.approx(errors.abs().mean().item())


def test_a_label_that_is_a_number_to_predict_is_no_class(toy_recipe: MakeRecipe, measure: Measure) -> None:
    recipe = toy_recipe(
        objectives={"size": {"name": "regress", "target": "amount"}},
        target="amount",
        zero_shot={"modality": "text", "templates": ["{}"]},
    )
    metrics = measure(recipe).metrics
    assert metrics["subsets/sight/rows"] == 9
    assert not [key for key in metrics if "hit@1" in key or "zero_shot" in key]


def test_the_confusion_is_of_the_task_that_predicts_the_label(
    toy_recipe: MakeRecipe, measure: Measure
) -> None:
    recipe = toy_recipe(
        objectives={
            "colour": {"name": "classify", "classes": 3},
            "other": {"name": "classify", "classes": 3, "target": "other"},
        }
    )
    evaluation = measure(recipe)
    confusion = evaluation.details["confusion"]
    assert set(confusion) == {"sight", "sound", "text", "sight+sound+text"}
    assert [sum(row) for row in confusion["sight"]] == [3, 2, 3]  # 0 3 6, 1 4, 2 5 8
    right = sum(confusion["sight"][label][label] for label in range(3))
    assert right / 8 == pytest.approx(evaluation.metrics["subsets/sight/colour/accuracy"])


def test_details_are_json_and_have_no_label_where_there_is_none(
    toy_recipe: MakeRecipe, measure: Measure
) -> None:
    details = measure(toy_recipe({"test": [7, 0, 1, 2]})).details
    json.dumps(details, allow_nan=False)
    assert details["classes"] == COLOURS
    labels = [result["label"] for example in details["examples"] for result in example["results"]]
    assert set(labels) == {0, 1, 2, None}
    assert None in details["map"]["text"]["label"]
    assert -100 not in details["map"]["text"]["label"]


@pytest.mark.slow
@pytest.mark.parametrize("batch", [12, 256])  # of 32 rows; with 256 the second rank has none
def test_two_ranks_measure_what_one_does(tiny_run: Run, registry: Registry, batch: int) -> None:
    two = start(2, "fusion", "evaluate", str(tiny_run.folder), "--json", f"evaluate.batch={batch}")
    assert two.returncode == 0, two.stderr
    section = tiny_run.recipe.evaluate.model_copy(update={"batch": batch})
    recipe = tiny_run.recipe.model_copy(update={"evaluate": section})
    model, accelerator = load(tiny_run, "cpu", registry).model, Accelerator(cpu=True)
    one = evaluate(model, recipe, registry, accelerator, tiny_run.metrics).metrics
    assert one["evaluate/rows"] == 32
    assert json.loads(two.stdout) == one


def test_all_choices_of_a_row_are_searched_and_the_row_is_counted_once(
    toy_recipe: MakeRecipe, measure: Measure, toys: Registry
) -> None:
    recipe = toy_recipe()
    data = recipe.model_dump()
    data["evaluate"]["sources"] = {"test": {"name": "toy-captions"}}
    metrics = measure(Recipe(**data)).metrics
    assert metrics["evaluate/rows"] == 2
    by_text = {
        key: metrics[f"retrieval/text->sight/{key}"] for key in ("rows", "queries", "gallery", "recall@1")
    }
    # "green b" is said of what looks red
    assert by_text == {"rows": 2, "queries": 4, "gallery": 2, "recall@1": 3 / 4}
    by_sight = {
        key: metrics[f"retrieval/sight->text/{key}"] for key in ("rows", "queries", "gallery", "recall@1")
    }
    # and lies as near to what looks green as what is said of that
    assert by_sight == {"rows": 2, "queries": 2, "gallery": 4, "recall@1": 1 / 2}
    assert metrics["subsets/text/rows"] == metrics["subsets/sight+text/rows"] == 2
    assert metrics["subsets/text/accuracy"] in (0.0, 0.5, 1.0)


def test_a_stream_is_not_evaluated(toy_recipe: MakeRecipe, measure: Measure) -> None:
    data = toy_recipe().model_dump()
    data["evaluate"]["sources"] = {"test": {"name": "toy-stream"}}
    with pytest.raises(
        DataError, match=r"^evaluate\.sources\.test is a stream, which can only be trained on"
    ):
        measure(Recipe(**data))
