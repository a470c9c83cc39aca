"""What a row shows in training: which choice, how it is varied, and what the fuser may see."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion import Augmentation, Choices, DataError
from fusion.augmentation import Chance
from fusion.data.collate import Collator
from fusion.data.draw import Draw, Turn, survivors
from tests.data.toys import MIXING, collator, noisy

NAMES = ("image", "text", "audio")
ROW = {"image": [1, 2], "text": [3, 4], "audio": [5, 6]}
CAPTIONS = Choices([[1, 1], [2, 2], [3, 3]])


def alone(number: int) -> dict[str, Any]:
    raise AssertionError("no other row is asked for")


class Add(Augmentation):
    def __init__(self, number: float) -> None:
        self.number = number

    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Any:
        return [raw[0] + self.number, raw[1]]


class Torn(Augmentation):
    def __call__(self, raw: Any, rng: np.random.Generator, other: Callable[[], Any]) -> Any:
        raise DataError("no such file")


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    dropout=st.floats(0.001, 0.999),
    names=st.sets(st.sampled_from(NAMES), min_size=1),
)
def test_modality_dropout_never_hides_everything_and_never_shows_what_is_absent(
    seed: int, dropout: float, names: set[str]
) -> None:
    row = {name: ROW[name] for name in names}
    shown = Draw({}, dropout, seed)(row, NAMES, Turn(seed, 0, 0, 0), alone).shown
    assert shown
    assert shown <= names


@pytest.mark.parametrize("dropout", [0.3, 0.9])
def test_modality_dropout_hides_at_its_rate(dropout: float) -> None:
    rng, rows = np.random.default_rng(0), 4000
    shown = [survivors(NAMES, rng, dropout) for _ in range(rows)]
    # each is hidden with probability p, but when all three are, one of them comes back
    rate = dropout - dropout**3 / 3
    for name in NAMES:
        hidden = sum(name not in kept for kept in shown)
        assert abs(hidden - rate * rows) < 5 * (rate * (1 - rate) * rows) ** 0.5


def test_modality_dropout_changes_only_what_is_shown() -> None:
    read: Collator = collator()
    hidden = 0
    for row in range(20):
        plain, dropped = (
            read.draw(ROW, noisy(7, dropout), Turn(7, 0, 0, row), alone) for dropout in (0.0, 0.7)
        )
        assert plain.shown == frozenset(ROW)
        hidden += len(plain.shown - dropped.shown)
        for name in ROW:  # augmented alike
            assert plain.decoded[name].tolist() == dropped.decoded[name].tolist()
        assert plain.content == dropped.content
    assert hidden > 0


def test_the_augmentation_of_one_modality_changes_no_draw_of_another() -> None:
    every: Draw = noisy(3, 0.5)
    fewer = Draw({name: every.augmentations[name] for name in ("image", "audio")}, 0.5, 3)
    for row in range(10):
        one, two = (collator().draw(ROW, draw, Turn(3, 1, 0, row), alone) for draw in (every, fewer))
        assert one.decoded["text"].tolist() != two.decoded["text"].tolist() == [3, 4]
        assert one.decoded["image"].tolist() == two.decoded["image"].tolist() != [1, 2]
        assert one.decoded["audio"].tolist() == two.decoded["audio"].tolist() != [5, 6]
        assert one.shown == two.shown


def test_equal_samples_are_told_before_they_are_varied() -> None:
    one, two = (
        collator().draw(ROW | {"image": np.ones(2)}, noisy(), Turn(0, 0, 0, n), alone) for n in (1, 2)
    )
    assert one.decoded["image"].tolist() != two.decoded["image"].tolist()
    assert one.content["image"] == two.content["image"] != 0


def test_augmentations_follow_each_other_each_with_its_chance() -> None:
    draw = Draw({"text": [Chance(Add(1), 1.0), Chance(Add(10), 0.25)]}, 0.0, 0)
    rows = 2000
    found = Counter(draw(ROW, NAMES, Turn(0, 0, 0, row), alone).varied["text"][0] for row in range(rows))
    assert set(found) == {4, 14}
    assert abs(found[14] - rows / 4) < 5 * (rows * 0.25 * 0.75) ** 0.5


def test_what_an_augmentation_cannot_read_names_its_modality() -> None:
    with pytest.raises(DataError, match=r"^audio: no such file$"):
        Draw({"audio": [Chance(Torn(), 1.0)]}, 0.0, 0)(ROW, NAMES, Turn(0, 0, 0, 0), alone)


def test_a_sample_is_mixed_with_one_of_another_row() -> None:
    rows = {n % 4: {"image": [n, 0], "text": Choices([[10 + n, 0], [20 + n, 0]])} for n in range(4)}
    draw, found = Draw(MIXING, 0.0, 0), set()
    for n in range(50):
        drawn = draw(rows[0], NAMES, Turn(0, 0, 0, n), lambda other: rows[other % 4])
        found.add(("image", drawn.varied["image"][1]))
        found.add(("text", drawn.varied["text"][1]))
    assert {number for name, number in found if name == "image"} == {0, 1, 2, 3}
    assert {number for name, number in found if name == "text"} == {10, 11, 12, 13, 20, 21, 22, 23}


def test_a_row_without_the_modality_is_no_partner() -> None:
    drawn = Draw(MIXING, 0.0, 0)(ROW, NAMES, Turn(0, 0, 0, 0), lambda other: {"text": None})
    assert drawn.varied == ROW


@pytest.mark.parametrize("row", [0, 5, 10**12])
def test_every_choice_comes_once_before_any_comes_again(row: int) -> None:
    orders = set()
    for cycle in range(12):
        turns = [Turn(1, 3 * cycle + n, 0, row) for n in range(3)]
        taken = [turn.choose(CAPTIONS, stream=4) for turn in turns]
        assert sorted(taken) == [[1, 1], [2, 2], [3, 3]]
        orders.add(tuple(map(tuple, taken)))
    assert len(orders) > 1


def test_rows_take_their_choices_in_orders_of_their_own() -> None:
    first = Counter(Turn(0, 0, 0, row).choose(CAPTIONS, 4)[0] for row in range(900))
    assert sum(first.values()) == 900
    assert all(230 < first[number] < 370 for number in (1, 2, 3))


def test_no_choice_is_an_absent_modality() -> None:
    drawn = Draw({}, 0.0, 0)({"text": Choices(), "image": [1, 2]}, NAMES, Turn(0, 0, 0, 0), alone)
    assert list(drawn.chosen) == ["image"]
    assert list(collator().decode({"text": Choices(), "image": [1, 2]}).decoded) == ["image"]


def test_all_choices_are_read_the_first_with_everything_else() -> None:
    row = {"image": [7, 8], "text": CAPTIONS, "audio": Choices([[4, 4], [5, 5]])}
    views = [
        {name: value.tolist() for name, value in sample.decoded.items()}
        for sample in collator().decode_all(row)
    ]
    assert views == [
        {"image": [7, 8], "text": [1, 1], "audio": [4, 4]},
        {"text": [2, 2], "audio": [5, 5]},
        {"text": [3, 3]},
    ]
    first = collator().decode(row).decoded
    assert {name: value.tolist() for name, value in first.items()} == views[0]
