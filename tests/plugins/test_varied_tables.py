"""What augmentations and corruptions make of rows of a table, cell by cell."""

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pytest
from fusion_tabular.augmentations import TableMask, TableSwap
from fusion_tabular.damage.missing_cells import missing_cells
from fusion_tabular.damage.noise import noise
from fusion_tabular.damage.typos import typos
from fusion_tabular.damage.wrong_unit import wrong_unit
from fusion_tabular.rows import measured

from fusion import DataError

WIDE: dict[str, Any] = {f"n{place}": float(place + 1) for place in range(2000)}
MIXED: dict[str, Any] = {
    "age": 40,
    "fare": "2.5",
    "port": "Cherbourg",
    "deck": None,
    "born": date(1980, 1, 1),
    "since": "2020-01-01",
    "alone": True,
    "code": "007",
}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def nothing() -> Any:
    raise AssertionError("no other row is read")


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_a_share_of_the_cells_is_emptied_and_more_of_them_are_the_same_ones_and_others(severity: int) -> None:
    empty = {name for name, cell in missing_cells(WIDE, severity, rng()).items() if cell is None}
    assert len(empty) / len(WIDE) == pytest.approx(0.1 * severity, abs=0.03)
    less = {name for name, cell in missing_cells(WIDE, severity - 1, rng()).items() if cell is None}
    assert less < empty


def test_one_cell_always_stays() -> None:
    for seed in range(50):
        assert any(cell is not None for cell in missing_cells({"a": 1, "b": None}, 5, rng(seed)).values())
        masked = TableMask(strength=0.99)(MIXED, rng(seed), nothing)
        assert sum(cell is not None for cell in masked.values()) >= 1
    assert TableMask(strength=0.0)(MIXED, rng(), nothing) == MIXED


def test_only_words_are_mistyped_and_in_one_letter() -> None:
    found = typos(dict.fromkeys(map(str, range(500)), "Cherbourg") | {"age": 40, "fare": "2.5"}, 5, rng())
    assert (found["age"], found["fare"]) == (40, "2.5")
    words = [word for name, word in found.items() if name not in ("age", "fare")]
    wrong = [sum(one != other for one, other in zip(word, "Cherbourg", strict=True)) for word in words]
    assert set(wrong) == {0, 1}
    assert np.mean(wrong) == pytest.approx(0.5 * 25 / 26, abs=0.06)


@pytest.mark.parametrize(("severity", "deviation"), list(enumerate([0.1, 0.2, 0.4, 0.8, 1.6], 1)))
def test_numbers_are_multiplied_by_one_about_one(severity: int, deviation: float) -> None:
    found = noise(WIDE, severity, rng())
    ratios = np.array([found[name] / cell for name, cell in WIDE.items()])
    assert ratios.mean() == pytest.approx(1, abs=0.1 * deviation)
    assert ratios.std() == pytest.approx(deviation, rel=0.06)
    weak = noise(WIDE, 1, rng())  # the same draws, made larger
    np.testing.assert_allclose(
        ratios - 1, [(weak[name] / cell - 1) * deviation / 0.1 for name, cell in WIDE.items()], atol=1e-9
    )


def test_numbers_in_another_unit_are_ten_to_a_thousand_times_as_large() -> None:
    found = wrong_unit(WIDE, 5, rng())
    ratios = [round(found[name] / cell) for name, cell in WIDE.items()]
    assert set(ratios) == {1, 10, 100, 1000}
    assert ratios.count(1) / len(ratios) == pytest.approx(0.6, abs=0.04)


def test_what_is_no_measured_number_is_left_alone() -> None:
    assert {name: measured(cell) for name, cell in MIXED.items() if measured(cell) is not None} == {
        "age": 40.0,
        "fare": 2.5,
    }
    assert measured(np.float32(2)) == 2.0
    assert measured(float("nan")) is None
    for damage in (noise, wrong_unit):
        for seed in range(20):
            found = damage(MIXED, 5, rng(seed))
            assert {**found, "age": 40, "fare": "2.5"} == MIXED


def test_cells_are_swapped_for_those_of_the_same_column_of_other_rows_each_of_its_own() -> None:
    asked = []

    def other() -> dict[str, Any]:
        asked.append(len(asked))
        return {name: (name, asked[-1]) for name in ("a", "b", "c", "d", "e")} | {"a": None}

    row = {"a": 1, "b": 2, "c": 3, "d": 4, "e": None, "f": 6}
    swapped = TableSwap(share=1.0)(row, rng(), other)
    assert (swapped["a"], swapped["e"], swapped["f"]) == (1, None, 6)  # the other has none, or it had none
    assert [swapped[name][0] for name in "bcd"] == ["b", "c", "d"]
    assert len({swapped[name][1] for name in "bcd"}) == 3
    assert len(asked) == 5


def test_a_share_of_the_cells_that_are_there_is_swapped() -> None:
    for seed in range(20):
        swapped = TableSwap(share=0.6)(
            dict.fromkeys("abcde", 0) | {"f": None}, rng(seed), lambda: dict.fromkeys("abcdef", 1)
        )
        assert sum(cell == 1 for cell in swapped.values()) == 3
    assert TableSwap(share=0.0)(MIXED, rng(), nothing) == MIXED


def test_a_partner_that_is_none_changes_nothing() -> None:
    def torn() -> Any:
        raise DataError("torn")

    partners: list[Callable[[], Any]] = [torn, lambda: None, lambda: [1]]
    for other in partners:
        assert TableSwap(share=1.0)(MIXED, rng(), other) == MIXED


@pytest.mark.parametrize("raw", [None, [1, 2], "text", object()])
def test_what_is_no_row_is_refused(raw: Any) -> None:
    for change in (missing_cells, noise, typos, wrong_unit):
        with pytest.raises(DataError, match="a mapping from columns to cells"):
            change(raw, 1, rng())
    for vary in (TableSwap(), TableMask()):
        with pytest.raises(DataError, match="a mapping from columns to cells"):
            vary(raw, rng(), nothing)
