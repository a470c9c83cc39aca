"""What Trackio has on this machine is what was logged, in one run."""

from typing import Any

import pytest

from fusion.loggers.trackio import Trackio
from tests.loggers.conftest import Follow


@pytest.fixture
def database() -> Any:
    from trackio.sqlite_storage import SQLiteStorage  # once it is known where it is to write

    return SQLiteStorage


def test_a_resumed_training_is_one_run_with_recipe_and_metrics(follow: Follow, database: Any) -> None:
    name = (follow(Trackio) / "id").read_text().strip()
    assert name.startswith("run-2-")
    assert database.get_runs("digits") == [name]
    rows = database.get_logs("digits", name)
    # nothing can be taken back there: a step that came twice is there twice, with the same numbers
    losses = [(row["step"], row["loss"]) for row in rows if "loss" in row]
    assert losses == [(1, 4.0), (2, 3.0), (2, 3.0), (3, 2.0)]
    assert [row["retrieval/image->audio/hit@1"] for row in rows if "loss" not in row] == [0.75]
    assert database.get_run_config("digits", name)["train.lr"] == 0.5


def test_two_trainings_of_one_name_are_two_runs(follow: Follow, database: Any) -> None:
    folder = follow(lambda: Trackio(project="twice"))
    (folder / "id").unlink()
    follow(lambda: Trackio(project="twice"))
    assert len(database.get_runs("twice")) == 2
