"""The matrix of what modalities contribute, and its table."""

from fusion.report.contributed import contributions
from fusion.report.files import Evaluation
from fusion.report.scores import sort
from fusion.report.tables import results

TOLD = {
    "digit": {
        "classes": True,
        "mean": {"image": [0.5, None], "audio": [0.25, 0.125]},
        "rows": {"image": [3, 0], "audio": [3, 2]},
    },
    "nothing": {"classes": True, "mean": {"image": [0.0, None]}, "rows": {"image": [3, 0]}},
    "size": {"classes": False, "mean": {"image": [0.75]}, "rows": {"image": [3]}},
}


def test_each_task_has_a_matrix_of_answers_by_modalities() -> None:
    digit, size = contributions(
        Evaluation.model_validate({"classes": ["zero", "one"], "contributions": TOLD})
    )
    assert (digit.caption, size.caption) == ("digit", "size")
    for text in ("zero", "one", "image", "audio", ">0.5<", ">0.25<", ">0.12<", "image to zero: 0.5, 3 rows"):
        assert text in digit.drawing
    assert digit.drawing.count('class="heat"') == 3
    assert 'fill-opacity="1"' in digit.drawing
    assert 'fill-opacity="0.25"' in digit.drawing  # 0.125 of 0.5
    assert "what is answered" in size.note
    assert "probability of the class that is answered" in digit.note


def test_without_any_there_is_no_chart() -> None:
    assert contributions(Evaluation()) == []


def test_the_numbers_are_a_table() -> None:
    metrics = {
        "contribution/image/absolute": 0.5,
        "contribution/image/signed": -0.25,
        "contribution/image/rows": 30,
        "contribution/audio/absolute": 0.125,
        "contribution/audio/signed": 0.125,
        "contribution/audio/rows": 20,
    }
    [table] = results(sort(metrics))
    assert table.columns == ["modality", "rows", "absolute", "signed"]
    assert table.rows == [["image", "30", "0.5", "-0.25"], ["audio", "20", "0.125", "0.125"]]
