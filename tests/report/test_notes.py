"""Tables that a script adds to the report of a run."""

import json
from pathlib import Path

import pytest

from fusion import RunError, note


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "recipe.yaml").write_text("name: toy\n")
    (tmp_path / "metrics.json").write_text(json.dumps({"subsets/image/accuracy": 0.5}))
    return tmp_path


def test_tables_stand_before_the_results_and_the_last_of_a_title_counts(run: Path) -> None:
    note(run, "Stages <1>", ["stage", "accuracy"], [["learned", "90.0 %"], ["pruned", 12]])
    note(run, "Other", ["what"], [["more"]])
    page = note(run, "Stages <1>", ["stage", "accuracy"], [["learned", "91.0 %"]]).read_text("utf-8")
    assert "Stages &lt;1&gt;" in page
    assert "91.0 %" in page
    assert "90.0 %" not in page
    assert page.index("Stages &lt;1&gt;") < page.index("Other") < page.rindex("50.0 %")


def test_a_row_of_another_length_is_an_error_and_changes_nothing(run: Path) -> None:
    with pytest.raises(ValueError, match=r"Stages: \['learned'\] has 1 cells, there are 2 columns"):
        note(run, "Stages", ["stage", "accuracy"], [["learned"]])
    assert not (run / "notes.json").exists()


def test_a_folder_that_is_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run: it has no recipe\.yaml"):
        note(tmp_path, "Stages", ["stage"], [])
