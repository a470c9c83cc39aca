"""The parquet file of a source in which modalities, targets and whole rows are missing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from accelerate import Accelerator

from fusion import DataError, Model, Predictor, Recipe, Registry
from fusion.evaluation.embed import Embedded, embed
from tests.evaluation.toys import toy_rows

MakeRecipe, MakeModel = Callable[..., Recipe], Callable[[Recipe], Model]


def test_absent_modalities_and_targets_are_null_and_unreadable_rows_left_out(
    toys: Registry, toy_recipe: MakeRecipe, toy_model: MakeModel, tmp_path: Path
) -> None:
    recipe = toy_recipe(batch=5)
    model = toy_model(recipe)
    written, bad, *_ = embed(
        model, recipe, "test", tmp_path / "toys.parquet", toys, Accelerator(cpu=True), weights=""
    )
    assert written == 11
    assert [(row.source, row.row) for row in bad] == [("test", 10)]
    columns = pq.read_table(tmp_path / "toys.parquet").to_pydict()
    numbers = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11]
    assert columns["row"] == numbers
    assert columns["label"] == [None if number == 7 else number % 3 for number in numbers]
    rows = [toy_rows()[number] for number in numbers]
    for name in ("sight", "sound", "text"):
        assert [vector is not None for vector in columns[name]] == [name in row for row in rows]
    given = [{name: row[name] for name in ("sight", "sound", "text") if name in row} for row in rows]
    expected = Predictor(model, recipe).encode(given)
    torch.testing.assert_close(torch.tensor(columns["fused"]), expected.fused)
    sound = [vector for vector in columns["sound"] if vector is not None]
    torch.testing.assert_close(torch.tensor(sound), expected.vectors["sound"][expected.present["sound"]])


def test_some_rows_are_chosen_and_parts_of_others_refused(
    toys: Registry, toy_recipe: MakeRecipe, toy_model: MakeModel, tmp_path: Path
) -> None:
    recipe = toy_recipe(batch=5)
    model = toy_model(recipe)

    def write(chosen: list[int] | None) -> Embedded:
        options: dict[str, Any] = {} if chosen is None else {"chosen": np.array(chosen)}
        options |= {"weights": "", "each": 2}
        return embed(model, recipe, "test", tmp_path / "parts", toys, Accelerator(cpu=True), **options)

    found = write([0, 3, 10, 11])
    assert (found.rows, [row.row for row in found.bad], found.parts) == (3, [10], 2)
    assert pq.read_table(tmp_path / "parts")["row"].to_pylist() == [0, 3, 11]
    assert write([0, 3, 10, 11]).kept == 2
    for other in ([0, 3, 10, 9], None):
        with pytest.raises(DataError, match=r"was made from something else; what differs: (.*chosen|rows)"):
            write(other)


def test_a_target_that_a_task_reads_keeps_its_kind(
    toys: Registry, toy_recipe: MakeRecipe, toy_model: MakeModel, tmp_path: Path
) -> None:
    objectives: dict[str, Any] = {"size": {"name": "regress", "target": "amount"}}
    recipe = toy_recipe({"test": [0, 3, 9]}, objectives, target="amount")
    embed(
        toy_model(recipe), recipe, "test", tmp_path / "toys.parquet", toys, Accelerator(cpu=True), weights=""
    )
    amounts = pq.read_table(tmp_path / "toys.parquet").to_pydict()["amount"]
    torch.testing.assert_close(torch.tensor(amounts), torch.tensor([0.0, 0.3, 0.9]))


def test_a_row_with_nothing_in_it_is_kept_as_nulls(
    toys: Registry, toy_recipe: MakeRecipe, toy_model: MakeModel, tmp_path: Path
) -> None:
    recipe = toy_recipe({"test": [0, 12, 9]})
    written, bad, *_ = embed(
        toy_model(recipe), recipe, "test", tmp_path / "toys.parquet", toys, Accelerator(cpu=True), weights=""
    )
    assert (written, bad) == (3, [])
    row = pq.read_table(tmp_path / "toys.parquet").to_pylist()[1]
    assert row == {
        "source": "test",
        "row": 1,
        "label": 2,
        "sight": None,
        "sound": None,
        "text": None,
        "fused": None,
    }
