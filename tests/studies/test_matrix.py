"""The transfer matrix holds every version on every source, and marks the best of a column."""

from collections.abc import Callable

import pytest

from fusion.report.tables import Marked
from fusion.studies.compare import Comparison
from fusion.studies.figures import transfer
from fusion.studies.matrix import matrix, table

Compared = Callable[..., Comparison]
KEY = "subsets/image/accuracy"


def _on(mnist: float, usps: float) -> dict[str, float]:
    return {KEY: (mnist + usps) / 2, f"source/mnist/{KEY}": mnist, f"source/usps/{KEY}": usps}


@pytest.fixture
def found(compared: Compared) -> Comparison:
    versions = {("mnist",): [_on(0.9, 0.4), _on(0.92, 0.5)], ("usps",): [_on(0.5, 0.8), _on(0.3, 0.9)]}
    return compared(versions, origins=(("usps",),))


def test_rows_are_versions_also_those_that_are_not_compared(found: Comparison) -> None:
    cells = matrix(found)
    assert list(cells) == ["mnist", "usps"]
    assert cells["mnist"]["mnist"].mean == pytest.approx(0.91)
    assert cells["mnist"]["usps"].mean == pytest.approx(0.45)
    assert cells["usps"]["mnist"].by_seed == {0: 0.5, 1: 0.3}
    [shown] = table(found)
    assert shown.columns == ["trained as", "mnist", "usps"]
    assert shown.rows == [
        ["mnist", "91.0 ± 1.4 %", "45.0 ± 7.1 %"],
        ["usps", "40.0 ± 14.1 %", "85.0 ± 7.1 %"],
    ]
    marked = [[isinstance(cell, Marked) for cell in row] for row in shown.rows]
    assert marked == [[False, True, False], [False, False, True]]
    [chart] = transfer(found)
    assert "mnist on usps: 45.0 ± 7.1 %" in chart.drawing


def test_a_measure_of_one_source_leads_to_the_same_matrix(compared: Compared) -> None:
    versions = {("mnist",): [_on(0.9, 0.4)], ("usps",): [_on(0.5, 0.8)]}
    found = compared(versions, measures=[f"source/usps/{KEY}"])
    assert matrix(found)["mnist"]["mnist"].mean == 0.9


def test_one_source_or_one_version_makes_no_matrix(compared: Compared) -> None:
    assert matrix(compared({("a",): [_on(0.9, 0.4)]})) == {}
    one = {KEY: 0.5, f"source/x/{KEY}": 0.5}
    assert matrix(compared({("b",): [one], ("c",): [one]})) == {}


def test_a_source_that_a_version_was_not_measured_on_is_blank(compared: Compared) -> None:
    part = {KEY: 0.5, f"source/mnist/{KEY}": 0.5}
    [shown] = table(compared({("a",): [_on(0.9, 0.4)], ("b",): [part]}))
    assert shown.rows[1] == ["b", "50.0 %", ""]
