"""Errors, tables and charts of a stress, from numbers that were worked out by hand."""

import pytest

from fusion.report.numbers import NOTHING
from fusion.report.stress import Errors, Point, Record, Versus
from fusion.report.stressed import by_kind, by_severity, charts, fusing, kinds, measures, summary
from fusion.report.tables import Mark, Marked


def versus(alone: float, fused: float, without: float, rows: int = 40) -> Versus:
    parts = [{"accuracy": value} for value in (alone, fused, without)]
    return Versus(rows=rows, alone=parts[0], fused=parts[1], without=parts[2])


def point(kind: str, severity: float, alone: float, fused: float) -> Point:
    return Point(
        damaged="image",
        kind=kind,
        severity=severity,
        metrics={
            "subsets/image/accuracy": alone,
            "subsets/image+text/accuracy": fused,
            "subsets/image+text/rows": 40,
            "retrieval/image->text/recall@1": alone / 2,
            "retrieval/image->text/mrr": 0.5,
            "retrieval/text->image/hit@1": alone,
            "zero_shot/image/accuracy": alone,
        },
        versus={"image+text": versus(alone, fused, 0.8)},
    )


def record() -> Record:
    clean = point("", 0, 0.9, 1.0).metrics
    return Record(
        stress="corruption",
        axis="severity",
        mean_error="mCE",
        seed=0,
        rows=40,
        clean={**clean, "subsets/text/accuracy": 0.8, "subsets/image+text/averaged/accuracy": 0.95},
        versus={"image": {"image+text": versus(0.9, 1.0, 0.8)}},
        points=[
            point("blur", 0, 0.9, 1.0),
            point("blur", 1, 0.8, 0.9),
            point("blur", 3, 0.5, 0.8),
            point("fog", 1, 0.6, 0.9),
            point("fog", 3, 0.1, 0.6),
        ],
    ).with_errors()


def test_the_mean_error_is_over_kinds_and_severities_and_the_relative_one_is_less_the_clean_one() -> None:
    errors = record().errors["image"]
    # 0.2, 0.5, 0.4, 0.9 of the image alone, 0.1 without damage; severity 0 is no damage and does not count
    assert errors["subsets/image/accuracy"].model_dump() == pytest.approx(
        {"clean": 0.1, "mean": 0.5, "relative": 0.4}
    )
    assert errors["retrieval/image->text/recall@1"].mean == pytest.approx(0.75)
    assert "retrieval/image->text/mrr" not in errors  # neither a share nor an error
    assert "subsets/text/accuracy" not in errors  # nothing of it is damaged


def test_where_less_is_better_the_metric_is_the_error() -> None:
    found = Record(
        stress="s",
        axis="a",
        seed=0,
        clean={"subsets/image/mae": 2.0},
        points=[
            Point(damaged="image", kind="fog", severity=n, metrics={"subsets/image/mae": 2.0 + n}, versus={})
            for n in (1, 2)
        ],
    ).with_errors()
    assert found.errors == {"image": {"subsets/image/mae": Errors(clean=2.0, mean=3.5, relative=1.5)}}
    assert by_severity(found, "image").rows == [["mae, image", "2", "3", "4", "3.5", "1.5"]]
    [chart] = charts(found)
    assert "left out" not in chart.note
    assert "leaving" not in chart.note


def test_what_is_fused_is_told_beside_what_is_left_out_and_a_loss_is_red() -> None:
    [table] = fusing(record())
    assert table.columns[:7] == ["damaged", "given", "rows", "clean", "alone", "fused", "left out"]
    assert table.columns[-1].endswith("severity 3")
    [row] = table.rows
    assert row[:7] == ["image", "image+text", "40", "100.0 %", "50.0 %", "80.0 %", "80.0 %"]
    assert row[7] == "+0.0"
    assert row[8] == "\N{MINUS SIGN}10.0"  # 0.8 and 0.6 at severity 3, and 0.8 without the image
    assert [isinstance(cell, Marked) and cell.mark == Mark.WORSE for cell in row[7:]] == [False, True]


def test_measures_are_told_by_severity_as_the_mean_over_kinds() -> None:
    table = by_severity(record(), "image")
    assert table.columns == ["measure", "clean", "1", "3", "mCE", "relative mCE"]
    assert table.rows == [
        ["accuracy, image", "90.0 %", "70.0 %", "30.0 %", "50.0 %", "+40.0"],
        ["accuracy, image+text", "100.0 %", "90.0 %", "70.0 %", "20.0 %", "+20.0"],
        ["recall@1, image → text", "45.0 %", "35.0 %", "15.0 %", "75.0 %", "+20.0"],
        ["hit@1, text → image", "90.0 %", "70.0 %", "30.0 %", "50.0 %", "+40.0"],
        ["zero-shot, image", "90.0 %", "70.0 %", "30.0 %", "50.0 %", "+40.0"],
    ]
    assert "mean over 2 kinds, 40 rows; mCE: " in table.note
    assert "over every kind and severity;" in table.note


def test_of_one_kind_no_kinds_are_told_and_the_mean_error_has_the_name_of_its_stress() -> None:
    found = record()
    found.axis, found.mean_error, found.points = "radius", "mean error", found.points[:3]
    table, [fused], [chart] = by_severity(found, "image"), fusing(found), charts(found)
    assert table.columns[-2:] == ["mean error", "relative mean error"]
    assert table.note == (
        "By radius, 40 rows; mean error: the error (1 less a share), averaged over every radius; "
        "relative: less the clean error."
    )
    assert fused.note.startswith("Mean over every radius. Alone:")
    assert chart.note.startswith("By radius; 0 is without damage.")


def test_each_kind_is_told_by_severity_with_what_is_damaged_as_the_query() -> None:
    [table] = kinds(record())
    assert table == by_kind(record(), "image")
    assert table.columns == ["kind", "measure", "1", "3"]
    assert len(table.rows) == 2 * 4
    assert ["fog", "accuracy, image", "60.0 %", "10.0 %"] in table.rows
    assert ["blur", "recall@1, image → text", "40.0 %", "25.0 %"] in table.rows


def test_a_trial_that_is_missing_is_an_empty_cell() -> None:
    found = record()
    found.points.pop()
    assert by_kind(found, "image").rows[-1][2:] == ["60.0 %", NOTHING]


def test_of_several_tasks_each_is_told() -> None:
    tasks = ("colour/f1", "colour/accuracy", "size/mae")
    found = record()
    found.clean |= {f"subsets/image/{task}": 0.5 for task in tasks}
    names = [measure.name for measure in measures(found, "image")]
    assert names[:4] == [
        "accuracy, image",
        "accuracy, image+text",
        "colour/accuracy, image",
        "size/mae, image",
    ]


def test_a_chart_has_a_line_alone_one_fused_and_where_it_is_left_out() -> None:
    [chart] = charts(record())
    drawing = str(chart.drawing)
    assert chart.caption == "accuracy, image damaged"
    for said in (
        "image alone, severity 0: 90.0 %",
        "image alone, severity 3: 30.0 %",
        "image+text, severity 1: 90.0 %",
        "the same without image",
    ):
        assert said in drawing
    assert drawing.count("<polyline") == 2
    assert drawing.count("<circle") == 6
    assert "below the dashes" in chart.note


def test_of_many_subsets_the_largest_is_drawn() -> None:
    found = record()
    many = ["image+text", "image+a", "image+b", "image+c", "image+a+b"]
    found.versus["image"] = {name: versus(0.9, 1.0, 0.8) for name in many}
    for one in found.points:
        one.versus = dict.fromkeys(many, versus(0.5, 0.6, 0.8))
    [chart] = charts(found)
    assert "image+a+b, severity 3" in chart.drawing
    assert "image+text, severity 3" not in chart.drawing


def test_a_record_without_damage_has_no_charts_and_empty_tables() -> None:
    bare = Record(stress="s", axis="a", seed=0)
    assert (summary(bare), charts(bare), kinds(bare)) == ([], [], [])
