"""A trial is the evaluation of the rows that it damages; what it leaves alone is not encoded again."""

from collections import Counter
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from fusion import Choices, Component, DataError, Recipe, hookimpl
from fusion.evaluation.evaluate import evaluate
from fusion.report.stress import Point, Record
from fusion.stress.corruption import Corruptions
from fusion.stress.rows import Damaged, pick
from tests.evaluation import toys
from tests.stress.toys import KINDS, Rolled, measured, registry, turn

OBJECTIVES = {
    "colour": {"name": "classify", "classes": 3},
    "size": {"name": "regress", "target": "amount"},
}


def recipe(**evaluate: Any) -> Recipe:
    return toys.recipe(toys.registry(), objectives=OBJECTIVES, **evaluate)


def with_source(made: Recipe, name: str, **changes: Any) -> Recipe:
    data = made.model_dump()
    data["evaluate"] |= {"sources": {"test": {"name": name}}, **changes}
    return Recipe(**data)


def points(record: Record) -> dict[tuple[str, float], Point]:
    return {(point.damaged, point.severity): point for point in record.points}


class Beforehand:
    """The toy rows, in which one modality was damaged before anybody reads them."""

    def __init__(self, modality: str, severity: int) -> None:
        self.rows = toys.toy_rows()[:12]
        damaged = Damaged(
            self.rows, 0, [modality], lambda raw, rng: turn(raw, severity, rng), f"{modality}-turn", 0
        )
        for number, row in enumerate(self.rows):
            if modality in row:
                [row[modality]] = damaged[number][modality]

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        return self.rows[index]


def by_hand(made: Recipe, rows: Any) -> dict[str, Any]:
    """Return what the ordinary evaluation measures on rows that are damaged."""

    @hookimpl
    def fusion_sources() -> list[Component]:
        return [Component("beforehand", lambda: rows)]

    plugin = ModuleType("damaged")
    plugin.fusion_sources = fusion_sources  # type: ignore[attr-defined]
    offers = toys.registry()
    offers.add("damaged", plugin)
    damaged = with_source(made, "beforehand")
    return evaluate(toys.model(made, offers), damaged, offers, Accelerator(), {}).metrics


@pytest.fixture(scope="module")
def whole() -> Record:
    return measured(recipe(batch=5), severities=[0, 2, 5])


def test_without_damage_it_measures_what_the_evaluation_does(whole: Record) -> None:
    made = recipe(batch=5)
    metrics = evaluate(toys.model(made, toys.registry()), made, toys.registry(), Accelerator(), {}).metrics
    measurable = {key for key in metrics if key.split("/")[-1] not in ("entropy", "snd", "emergent")}
    measurable = {key for key in measurable if key.split("/")[0] not in ("evaluate", "contribution")}
    assert whole.clean == {key: metrics[key] for key in measurable}
    assert whole.mean_error == "mCE"
    assert (whole.rows, whole.bad_rows) == (metrics["evaluate/rows"], metrics["evaluate/bad_rows"]) == (12, 1)
    assert len(whole.clean) > 50


def test_severity_0_is_no_damage_at_all(whole: Record) -> None:
    for modality in ("sight", "sound", "text"):
        point = points(whole)[modality, 0]
        assert len(point.metrics) > 20
        assert point.metrics == {key: whole.clean[key] for key in point.metrics}
        assert point.versus == whole.versus[modality]


@pytest.mark.parametrize("modality", ["sight", "sound", "text"])
@pytest.mark.parametrize("severity", [2, 5])
def test_a_trial_is_the_evaluation_of_rows_that_were_damaged_before(
    whole: Record, modality: str, severity: int
) -> None:
    expected = by_hand(recipe(batch=5), Beforehand(modality, severity))
    found = points(whole)[modality, severity].metrics
    tasks = {key: value for key, value in found.items() if key.startswith("subsets/")}
    subsets = {key.split("/")[1] for key in tasks}
    assert subsets == {
        key.split("/")[1] for key in expected if key.startswith("subsets/") and modality in key
    }
    assert tasks == {key: expected[key] for key in tasks}
    assert any(value != whole.clean[key] for key, value in tasks.items()) or severity < 5


def test_a_turned_sight_finds_nothing_of_its_colour() -> None:
    made = recipe(sources={"test": [0, 1, 2]}, batch=2)  # three colours, each once, in each modality
    found = measured(made, ["sight-turn"], [5])
    pairs = [("sight", "text"), ("text", "sight"), ("sight", "sound")]
    assert [found.clean[f"retrieval/{one}->{other}/recall@1"] for one, other in pairs] == [1, 1, 1]
    metrics = points(found)["sight", 5].metrics
    assert [metrics[f"retrieval/{one}->{other}/recall@1"] for one, other in pairs] == [0, 0, 0]
    assert not [key for key in metrics if "sight" not in key]


def test_only_what_a_trial_damages_is_encoded_again() -> None:
    made = recipe(batch=4)
    model = toys.model(made, toys.registry())
    calls: Counter[str] = Counter()
    for name, encoder in model.encoders.items():
        encoder.register_forward_pre_hook(lambda *_, name=name: calls.update([name]))
    measured(made, ["sight-turn", "text-turn"], [1, 2, 3], model=model)
    assert calls == {"sight": 3 + 3 * 3, "sound": 3, "text": 3 + 3 * 3}  # 12 rows in 3 batches


def test_what_fuses_is_compared_on_the_rows_that_have_all_of_a_subset(whole: Record) -> None:
    for modality, others in {
        "sight": {"sight+sound": 5, "sight+text": 8, "sight+sound+text": 5},
        "sound": {"sight+sound": 5, "sound+text": 5, "sight+sound+text": 5},
        "text": {"sight+text": 8, "sound+text": 5, "sight+sound+text": 5},
    }.items():
        for severity in (0, 5):
            versus = points(whole)[modality, severity].versus
            assert {subset: one.rows for subset, one in versus.items()} == others
    made = recipe(sources={"test": [0, 2, 4, 6, 8]})  # those that have all three
    have_all, every = measured(made, severities=[5]), points(whole)
    for point in have_all.points:
        subset = point.versus["sight+sound+text"]
        clean = have_all.clean
        rest = "+".join(name for name in ("sight", "sound", "text") if name != point.damaged)
        for key in ("colour/accuracy", "size/mae"):
            assert subset.alone[key] == point.metrics[f"subsets/{point.damaged}/{key}"]
            assert subset.fused[key] == point.metrics[f"subsets/sight+sound+text/{key}"]
            assert subset.without[key] == clean[f"subsets/{rest}/{key}"]
        mine = every[point.damaged, 5].versus["sight+sound+text"]
        assert mine.without == subset.without
        assert mine.rows == subset.rows == 5


def test_what_is_spoilt_on_the_device_is_what_is_damaged_in_the_rows() -> None:
    made = recipe(batch=5)
    stress = Rolled()
    rolled, turned = measured(made, stress=stress), measured(made, ["sight-turn"], [5])
    assert rolled.points[0].metrics == turned.points[0].metrics
    assert rolled.points[0].versus == turned.points[0].versus
    assert [set(batch.inputs) for batch in stress.seen[:2]] == [{"sight", "sound", "text"}] * 2
    assert set(stress.seen[0].inputs["sound"]) == {"given/pooled"}  # encoded once: an attack need not again
    assert set(stress.seen[0].inputs["sight"]) == {"x"}


class Turned(toys.Captions):
    """Captions of the next colours: red is green, green is blue."""

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        said = [["green a", "blue b"], ["blue c", "blue d"]][index]
        return {"sight": str(index), "text": Choices(said), "label": index}


def test_every_caption_of_a_picture_is_damaged() -> None:
    made = with_source(recipe(), "toy-captions", batch=1)
    found = measured(made, ["text-turn"], [0, 5])
    clean, turned = (points(found)["text", severity].metrics for severity in (0, 5))
    assert clean["retrieval/text->sight/queries"] == turned["retrieval/text->sight/queries"] == 4
    assert clean["retrieval/text->sight/recall@1"] == 0.75  # "green b" is said of the first, which is red
    expected = by_hand(made, Turned())
    assert turned == {key: expected[key] for key in turned}
    assert turned != clean


def test_workers_change_nothing() -> None:
    data = recipe(batch=5).model_dump()
    data["train"] |= {"workers": 2}
    assert measured(Recipe(**data), severities=[2]) == measured(recipe(batch=5), severities=[2])


def test_another_seed_draws_otherwise() -> None:
    data = recipe().model_dump()
    data["train"] |= {"seed": 5}
    model = toys.model(recipe(), toys.registry())
    one, other = (measured(made, severities=[2], model=model) for made in (recipe(), Recipe(**data)))
    assert one.clean == other.clean
    assert one.points != other.points


def test_some_rows_are_drawn_and_damaged_as_among_all() -> None:
    found = measured(recipe(), ["sight-turn"], [0, 2], rows=6)
    assert found.rows == 6
    again = measured(recipe(), ["sight-turn"], [0, 2], rows=6)
    assert found == again
    assert measured(recipe(limit=4), ["sight-turn"], [2], rows=6).rows == 4
    assert measured(recipe(sources={"near": None, "far": [0, 1, 2]}), ["sight-turn"], [2], rows=6).rows == 9


def test_drawn_rows_keep_the_numbers_that_they_have_in_their_source() -> None:
    """On these depend the random numbers of an attack, and errors name them."""
    stress = Rolled()
    measured(recipe(batch=4), stress=stress, rows=6)
    drawn = pick(12, 0, 6, None, seed=0)
    assert torch.cat([batch.row for batch in stress.seen]).tolist() == drawn.tolist() != list(range(6))
    [row] = pick(20, 0, 1, None, seed=0)
    assert row != 0
    with pytest.raises(DataError, match=f"no row can be read, such as row {row}: "):
        measured(recipe(sources={"test": [10] * 20}), rows=1)


def test_damage_that_leaves_nothing_to_read_is_an_error() -> None:
    said = "sound-spoil at severity 1: a sample of 'test' cannot be read any more: sound: 'nothing' is not"
    with pytest.raises(DataError, match=said):
        measured(recipe(), ["sound-spoil"], [1])


def test_without_rows_or_readable_rows_there_is_an_error() -> None:
    with pytest.raises(DataError, match=r"no evaluate.sources; a stress needs rows to measure on"):
        measured(recipe(sources={}))
    with pytest.raises(DataError, match=r"evaluate.sources.test is empty"):
        measured(recipe(sources={"test": []}))
    with pytest.raises(DataError, match="no row can be read"):
        measured(recipe(sources={"test": [10]}))


def test_choices_are_damaged_each_by_its_own_draws() -> None:
    source = [{"text": Choices(["red a"] * 40)}]
    damaged = Damaged(source, 0, ["text"], lambda raw, rng: turn(raw, 2, rng), "text-turn", 0)[0]["text"]
    assert set(damaged) == {"red a", "green a"}


def test_the_toys_offer_what_these_tests_damage() -> None:
    stress = Corruptions(recipe(), registry(), kinds=KINDS, severities=[])
    assert len(stress.trials) == 15
