"""What is printed is JSON that any reader takes, or columns that line up."""

import json
import math

import pytest

from fusion.cli.show import _fitting, print_json, table


def test_what_is_not_finite_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"r2": math.nan, "scores": [1.5, -math.inf, (0.5, math.inf)], "flag": True})
    assert json.loads(capsys.readouterr().out) == {
        "r2": None,
        "scores": [1.5, None, [0.5, None]],
        "flag": True,
    }


def test_a_table_in_a_pipe_is_aligned_and_has_no_rules(capsys: pytest.CaptureFixture[str]) -> None:
    table(("name", "rows"), [("seen", 12), ("longer", 3)], "Sources")
    assert capsys.readouterr().out == "Sources\nname    rows\nseen    12\nlonger  3\n\n"


def test_a_terminal_that_is_too_narrow_gets_the_first_columns() -> None:
    lines = [["pair", "hit@1", "queries"], ["image -> audio", "99.4 %", "500"]]  # widths 14, 6, 7
    assert _fitting(lines, math.inf) == 3
    assert _fitting(lines, 33) == 3
    assert _fitting(lines, 32) == 2
    assert _fitting(lines, 5) == 2
