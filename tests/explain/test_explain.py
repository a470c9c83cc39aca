"""What the answers for a row rest on, as data."""

from typing import Any

import pytest
import torch

from fusion import DataError, PluginError, Predictor, Recipe, Registry, Run, RunError, load
from fusion.build import build_model
from fusion.data.collate import Collator
from fusion.explain.explain import explain
from fusion.picks import complete
from tests.explain.toys import MODALITIES, Plain, Ruled, Told, Total, batch, model


@pytest.fixture(scope="module")
def predictor(tiny_run: Run, registry: Registry) -> Predictor:
    return load(tiny_run, "cpu", registry)


def test_contributions_add_up_to_the_answer_and_shares_to_one(
    predictor: Predictor, row: dict[str, Any]
) -> None:
    found = predictor.explain(row)
    answer = predictor.predict(row)["digit"]
    told = found.contributions["digit"]
    assert found.answers["digit"].value.tolist() == answer.value.tolist()
    torch.testing.assert_close(told.full[0], answer.score[0, answer.value[0]].double(), rtol=0, atol=1e-6)
    nothing = predictor.model.objectives["digit"].predict(torch.zeros(1, predictor.recipe.width)).score
    torch.testing.assert_close(told.nothing[0], nothing[0, answer.value[0]].double(), rtol=0, atol=1e-6)
    total = told.nothing + sum(told.parts.values())
    torch.testing.assert_close(total, told.full, rtol=0, atol=1e-6)
    assert list(told.parts) == ["image", "text", "audio"]
    assert sum(found.shares.values()) == pytest.approx(1.0, abs=1e-6)
    assert (found.attributions, found.unattributed, found.nearest) == ({}, {}, {})


def test_an_absent_modality_is_no_player(predictor: Predictor, row: dict[str, Any]) -> None:
    found = predictor.explain({"audio": row["audio"], "image": None})
    told = found.contributions["digit"]
    assert list(told.parts) == ["audio"]
    torch.testing.assert_close(told.parts["audio"], told.full - told.nothing, rtol=0, atol=1e-9)
    assert found.shares == {"audio": 1.0}


def test_every_task_is_explained_in_its_own_numbers(
    registry: Registry, tiny_run: Run, row: dict[str, Any]
) -> None:
    data = tiny_run.recipe.model_dump(mode="json")
    data["fuser"] = {"name": "concat"}
    data["objectives"] = {
        "size": {"name": "regress", "target": "size"},
        "tags": {"name": "multilabel", "classes": 3},
    }
    recipe = complete(Recipe(**data), registry)
    predictor = Predictor(build_model(recipe, registry), recipe, registry=registry)
    found = predictor.explain(row, attribute=True)
    answers = predictor.predict(row)
    assert found.shares == {}  # concat has none
    for name, shape in {"size": (1,), "tags": (1, 3)}.items():
        told = found.contributions[name]
        assert all(part.shape == shape for part in told.parts.values())
        total = told.nothing + sum(told.parts.values())
        torch.testing.assert_close(total, answers[name].score.double(), rtol=0, atol=1e-6)
    # of several numbers the largest is attributed
    alone = [predictor.predict({"image": raw})["tags"].score for raw in (row["image"], row["image"] * 0)]
    largest = int(answers["tags"].score.argmax())
    difference = float((alone[0] - alone[1])[0, largest])
    assert found.attributions["tags"]["image"].difference == pytest.approx(difference, abs=1e-6)


def test_nearest_rows_come_with_their_samples(
    predictor: Predictor, tiny_run: Run, row: dict[str, Any]
) -> None:
    found = predictor.explain({"audio": row["audio"]}, nearest=2)
    assert list(found.nearest) == ["audio"]
    assert [one.source for one in found.nearest["audio"]] == ["heard", "heard"]
    first = found.nearest["audio"][0]
    vectors = [predictor.encode({"audio": raw}).vectors["audio"][0] for raw in (row["audio"], first.sample)]
    assert float(vectors[0] @ vectors[1]) == pytest.approx(first.similarity, abs=1e-5)


def test_a_row_that_cannot_be_read_or_a_run_without_a_task_is_refused(
    predictor: Predictor, registry: Registry
) -> None:
    with pytest.raises(DataError, match="nothing is in it"):
        predictor.explain({})
    data = predictor.recipe.model_dump(mode="json")
    data["objectives"].pop("digit")
    recipe = complete(Recipe(**data), registry)
    with pytest.raises(RunError, match="has no task that predicts"):
        Predictor(build_model(recipe, registry), recipe).explain({"text": "one"})


def test_more_than_ten_modalities_of_a_row_are_refused() -> None:
    names = [f"sense{number}" for number in range(12)]
    made = model(Total(names, 4), {"it": Told(False)}, {name: Plain() for name in names})
    given = {name: [1.0, 0.0, 0.0, 0.0] for name in names[:11]}

    sample = Collator(made.processors, {}).decode(given)
    with pytest.raises(
        RunError, match=r"the row has 11 modalities, with 2,048 subsets; .* exact, for up to 10"
    ):
        explain(made, batch(made, [given]), sample, False)
    some = {name: given[name] for name in names[:3]}  # of twelve, three are present
    found, _ = explain(made, batch(made, [some]), Collator(made.processors, {}).decode(some), False)
    assert [part[0, 0].item() for part in found.contributions["it"].parts.values()] == [1.0, 1.0, 1.0]


def test_a_fuser_that_says_nothing_of_nothing_is_named() -> None:
    def rule(shown: dict[str, torch.Tensor]) -> torch.Tensor:
        return (1 / sum(shown.values())).unsqueeze(1).expand(-1, 4) * 0

    made = model(Ruled(rule), {"it": Told(False)})
    given = {name: [1.0, 0.0, 0.0, 0.0] for name in MODALITIES}

    with pytest.raises(PluginError, match=r"fuser \(test\) gives NaN or infinity where nothing is present"):
        explain(made, batch(made, [given]), Collator(made.processors, {}).decode(given), False)


def test_what_cannot_be_attributed_is_named_and_the_rest_is_there() -> None:
    class Opaque(Plain):
        def forward(self, x: torch.Tensor) -> Any:
            return super().forward(x.detach())

    made = model(
        Total(MODALITIES, 4), {"it": Told(True)}, {"image": Plain(), "text": Opaque(), "audio": Plain()}
    )
    given = {name: [1.0, 2.0, 0.0, 0.0] for name in MODALITIES}

    found, _ = explain(made, batch(made, [given]), Collator(made.processors, {}).decode(given), True)
    assert list(found.attributions["it"]) == ["image", "audio"]
    assert found.unattributed == {
        "text": "encoders.text (test): no gradient leads from the answer to its input"
    }
    assert found.attributions["it"]["audio"].values.tolist() == pytest.approx([0, 2, 0, 0], abs=1e-6)


def test_hooks_leave_nothing_behind(predictor: Predictor, row: dict[str, Any]) -> None:
    before = predictor.predict(row)
    predictor.explain(row, attribute=True)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in predictor.model.modules())
    torch.testing.assert_close(predictor.predict(row), before, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in predictor.model.parameters())
