"""What a report tells of probabilities and of foreign rows, with all its numbers."""

from fusion.report import tables, trust
from fusion.report.files import Evaluation
from fusion.report.scores import sort

METRICS = {
    "subsets/image/accuracy": 0.5,
    "subsets/image/ece": 0.25,
    "subsets/image/nll": 1.5,
    "subsets/image/calibrated/ece": 0.125,
    "subsets/image/calibrated/temperature": 2.0,
    "subsets/image/rows": 8,
    "subsets/image+text/ece": 0.5,
    "subsets/image+text/rows": 4,
    "foreign/odd/image/energy": 0.75,
    "foreign/odd/image/rows": 3,
    "foreign/odd/image+text/distance": 1.0,
    "train/steps": 3,
}
HALF = {"bins": [[10, 0.55, 0.4], [2, 0.95, 1]], "risk": [[0.5, 0.1], [1.0, 0.5]]}
EVALUATION = Evaluation.model_validate(
    {
        "modalities": ["image", "text", "audio"],
        "calibration": {
            "image/kind": {"": HALF, "calibrated": HALF},
            "image+text/kind": {"": HALF},
            "image+text+audio/kind": {"": HALF},
        },
        "foreign": {
            "image/kind/energy": {"low": 0, "high": 1, "shares": {"": [1, 0], "odd": [0, 1]}},
            "image+text+audio/distance": {"low": 0, "high": 2, "shares": {"": [0.5, 0.5], "odd": [0, 1]}},
        },
    }
)


def test_the_tables_hold_what_was_measured() -> None:
    scores = sort(METRICS)
    calibration, foreign = trust.tables(scores.subsets, scores.rest)
    columns = ["given", "rows", "ece", "ece_adaptive", "brier", "nll", "aurc", "temperature", "ece at it"]
    assert calibration.columns == columns
    assert calibration.rows == [
        ["image", "8", "0.25", "–", "–", "1.5", "–", "2", "0.125"],  # noqa: RUF001
        ["image+text", "4", "0.5", *["–"] * 6],  # noqa: RUF001
    ]
    assert foreign.rows == [
        ["odd", "image", "75.0 %", "–", "–"],  # noqa: RUF001
        ["odd", "image+text", "–", "100.0 %", "–"],  # noqa: RUF001
    ]


def test_no_other_table_repeats_them() -> None:
    others = tables.results(sort(METRICS))
    assert [table.caption for table in others] == ["Subsets of modalities", "Further numbers"]
    assert others[0].columns == ["given", "rows", "accuracy"]
    assert others[1].rows == [["train/steps", "3"]]


def test_a_run_without_probabilities_has_neither() -> None:
    scores = sort({"subsets/image/mae": 0.5, "subsets/image/rows": 3})
    assert trust.tables(scores.subsets, scores.rest) == []
    assert trust.charts(Evaluation()) == []


def test_single_modalities_and_all_are_drawn() -> None:
    charts = trust.charts(EVALUATION)
    assert [chart.caption for chart in charts] == [
        "kind: reliability, image given",
        "kind: reliability, image+text+audio given",
        "kind: risk by coverage",
        "distance, image+text+audio given",
    ]
    assert charts[0].note.startswith("12 rows in 15 bins of confidence, those of 5 rows and more")
    assert charts[0].drawing.count("<polyline") == 2
    assert charts[0].drawing.count("<circle") == 2  # a bin of two rows is left out
    assert charts[2].drawing.count("<polyline") == 2
