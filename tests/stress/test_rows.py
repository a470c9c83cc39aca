"""Which rows are drawn, and on what their damage depends."""

import numpy as np

from fusion import Choices
from fusion.stress.rows import Damaged, pick

ROWS = [{"image": n, "text": Choices([f"a{n}", f"b{n}"]), "label": n} for n in range(50)]


def draw(raw: object, rng: np.random.Generator) -> tuple[object, float]:
    return raw, rng.random()


def damaged(number: int = 0, kind: str = "blur", seed: int = 0) -> Damaged:
    return Damaged(ROWS, number, ["image", "text"], draw, kind, seed)


def test_a_row_holds_what_is_damaged_and_nothing_else() -> None:
    row = damaged()[3]
    assert {name: [raw for raw, _ in some] for name, some in row.items()} == {
        "image": [3],
        "text": ["a3", "b3"],
    }
    assert Damaged([{"label": 1, "image": None}], 0, ["image"], draw, "blur", 0)[0] == {}


def test_draws_depend_on_seed_source_row_kind_and_choice_alone() -> None:
    first = damaged()[7]
    assert damaged()[7] == first
    others = [damaged(number=1)[7], damaged(kind="noise")[7], damaged(seed=1)[7]]
    draws = [first["text"][0][1], first["text"][1][1], *(other["text"][0][1] for other in others)]
    assert len({*draws, damaged()[8]["text"][0][1]}) == 6


def test_rows_are_drawn_with_the_seed_each_once_and_in_order() -> None:
    drawn = pick(1000, 0, 100, None, seed=3)
    assert (np.diff(drawn) > 0).all()
    assert len(drawn) == 100
    assert drawn.max() < 1000
    np.testing.assert_array_equal(drawn, pick(1000, 0, 100, None, seed=3))
    assert set(drawn) != set(pick(1000, 0, 100, None, seed=4))
    assert set(drawn) != set(pick(1000, 1, 100, None, seed=3))
    assert abs(drawn.mean() - 500) < 100


def test_without_a_number_all_up_to_the_limit_are_taken() -> None:
    assert pick(5, 0, None, None, 0).tolist() == [0, 1, 2, 3, 4]
    assert pick(5, 0, 9, None, 0).tolist() == [0, 1, 2, 3, 4]
    assert pick(5, 0, None, 2, 0).tolist() == [0, 1]
    assert set(pick(50, 0, 3, 4, 0)) <= {0, 1, 2, 3}
    assert pick(0, 0, None, None, 0).tolist() == []
