"""One pass over the rows: each encoder once, every subset."""

from collections.abc import Callable
from typing import Any

import torch

from fusion import Model, Recipe
from fusion.data.collate import Collator
from fusion.data.order import Slots
from fusion.evaluation.sweep import Rows, collect, join
from tests.evaluation.toys import toy_rows

MakeRecipe, MakeModel = Callable[..., Recipe], Callable[[Recipe], Model]


def swept(model: Model, recipe: Recipe, numbers: list[int]) -> Rows:
    collator = Collator(model.processors, model.targets())
    samples = [collator.decode(toy_rows()[number]) for number in numbers]
    return collect(
        model, collator.stack(samples, Slots.unnumbered(len(numbers))), recipe.subsets(), explained=True
    )


def rows(source: list[int], row: list[int], **targets: Any) -> Rows:
    value = torch.tensor(source) * 10 + torch.tensor(row)
    place = {"source": torch.tensor(source), "row": torch.tensor(row)}
    return Rows({"sight": value}, {"sight": value > 0}, {}, targets, {"sight/colour": value * 2}, place)


def test_each_encoder_runs_once_and_the_fuser_once_for_every_subset_and_for_none(
    toy_recipe: MakeRecipe, toy_model: MakeModel
) -> None:
    recipe = toy_recipe()
    model = toy_model(recipe)
    calls: list[str] = []
    for name, part in {**model.encoders, "fuser": model.fuser}.items():
        part.register_forward_hook(lambda *_, name=name: calls.append(name))
    found = swept(model, recipe, [0, 1, 2])
    assert sorted(calls) == ["fuser"] * 8 + ["sight", "sound", "text"]
    assert set(found.scores) == {
        f"{subset}/colour"
        for subset in (
            "sight",
            "sound",
            "text",
            "sight+sound",
            "sight+text",
            "sound+text",
            "sight+sound+text",
        )
    }


def test_contributions_add_up_and_are_told_where_every_subset_is_asked_for(
    toy_recipe: MakeRecipe, toy_model: MakeModel
) -> None:
    recipe = toy_recipe()
    model = toy_model(recipe)
    found = swept(model, recipe, [0, 1, 9])
    answer = found.answers["colour"]
    full = found.scores["sight+sound+text/colour"].gather(1, answer[:, None])[:, 0]
    nothing = model.objectives["colour"].predict(torch.zeros(3, 8)).score.gather(1, answer[:, None])[:, 0]
    parts = [found.contributions[f"{name}/colour"] for name in ("sight", "sound", "text")]
    torch.testing.assert_close(sum(parts), (full - nothing).double(), rtol=0, atol=1e-6)
    assert [part[2].item() == 0 for part in parts] == [True, True, False]  # row 9 is a text alone

    some = toy_recipe(subsets=[["sight"], ["sight", "text"]])
    assert (swept(model, some, [0]).contributions, swept(model, some, [0]).answers) == ({}, {})


def test_without_a_task_the_fuser_does_not_run(toy_recipe: MakeRecipe, toy_model: MakeModel) -> None:
    recipe = toy_recipe(objectives={"bind": {"name": "contrastive", "hub": "text"}})
    model = toy_model(recipe)
    calls: list[str] = []
    model.fuser.register_forward_hook(lambda *_: calls.append("fuser"))
    assert (swept(model, recipe, [0, 1]).scores, calls) == ({}, [])


def test_a_subset_hides_the_other_modalities(toy_recipe: MakeRecipe, toy_model: MakeModel) -> None:
    recipe = toy_recipe()
    model = toy_model(recipe)
    both = swept(model, recipe, [3])  # its sight is green and its text is red
    red = swept(model, recipe, [9])  # text alone, red
    torch.testing.assert_close(both.scores["text/colour"], red.scores["text/colour"])
    assert not torch.equal(both.scores["sight/colour"], both.scores["text/colour"])


def test_parts_are_joined_one_after_the_other() -> None:
    joined = join([rows([0, 0], [2, 3]), rows([1], [0])])
    assert joined.place["row"].tolist() == [2, 3, 0]
    assert joined.vectors["sight"].tolist() == [2, 3, 10]
    assert joined.scores["sight/colour"].tolist() == [4, 6, 20]


def test_chosen_rows_are_picked_in_every_field() -> None:
    chosen = rows([0, 0, 1], [1, 2, 0]).where(torch.tensor([True, False, True]))
    assert chosen.vectors["sight"].tolist() == [1, 10]
    assert chosen.scores["sight/colour"].tolist() == [2, 20]
    assert chosen.place["row"].tolist() == [1, 0]


def test_having_means_having_all_of_them() -> None:
    present = {
        "sight": torch.tensor([True, True, False]),
        "sound": torch.tensor([True, False, True]),
        "text": torch.tensor([True, True, True]),
    }
    found = Rows({}, present, {}, {}, {}, {})
    assert found.having(["sight", "sound"]).tolist() == [True, False, False]
    assert found.having(["text"]).tolist() == [True, True, True]


def test_only_a_whole_number_per_row_is_a_label() -> None:
    found = rows(
        [0, 0],
        [0, 1],
        label=torch.tensor([3, -100]),
        amount=torch.tensor([3.0, 1.0]),
        flags=torch.tensor([[1, 0], [0, 1]]),
    )
    assert found.labels("label").tolist() == [3, -100]
    assert found.labels("amount").tolist() == [-100, -100]
    assert found.labels("flags").tolist() == [-100, -100]
