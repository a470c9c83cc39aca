"""Rows are kept as ranges, so that a long one takes no more room than a row."""

import numpy as np
import pytest

from fusion.search.rows import NONE, Rows


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ""),
        ("3", "3"),
        (" 10-12, 3 ,", "3,10-12"),
        ("4-4", "4"),
        ("1-2,3", "1-3"),
        ("5-9,0-20,7", "0-20"),
        ("0-999999999999999999", "0-999999999999999999"),
    ],
)
def test_what_is_read_is_said_in_order_and_joined(text: str, said: str) -> None:
    assert str(Rows.read(text)) == said
    assert str(Rows.read(said)) == said


@pytest.mark.parametrize("text", ["x", "3,x", "12-10", "-1", "1-", "1.5", "1" * 19, "9" * 5000, "٣x"])
def test_what_are_no_rows_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"are not numbers of rows such as 3,10-12"):
        Rows.read(text)


def test_sets_of_rows_are_those_of_numbers() -> None:
    """Compared with sets, over ranges that overlap, touch and lie apart."""
    random = np.random.default_rng(0)
    every = np.arange(60)
    for _ in range(200):
        one, other = (np.unique(random.integers(0, 50, random.integers(0, 30))) for _ in range(2))
        some, more = Rows.of(one), Rows.of(other)
        assert str(Rows.read(",".join(map(str, one)))) == str(some)
        assert every[some.holds(every)].tolist() == one.tolist()
        assert some.common(more) == min(set(one) & set(other), default=None)
        assert every[some.joined(more).holds(every)].tolist() == sorted(set(one) | set(other))
        assert every[some.beyond(25).holds(every)].tolist() == [row for row in one if row >= 25]
        assert str(some.joined(more)) == str(more.joined(some))


def test_none_holds_nothing() -> None:
    assert NONE.holds(np.arange(3)).tolist() == [False] * 3
    assert (NONE.common(NONE), str(NONE.joined(NONE)), str(NONE.beyond(1))) == (None, "", "")
