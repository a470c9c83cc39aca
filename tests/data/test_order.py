"""The order of rows: exact shares, every row once per epoch, the same batches on any number of ranks."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion import DataError
from fusion.data.order import MAX_PERIOD, Order, Slots, permute, schedule

LENGTHS = {"photos": 50, "clips": 31, "notes": 23}
WEIGHTS = {"photos": 0.7, "clips": 0.2, "notes": 0.1}

# chi-square has k degrees of freedom: mean k, variance 2k; six deviations are never seen by chance
DEVIATIONS = 6


def chi_square(counts: np.ndarray) -> float:
    expected = counts.sum() / len(counts)
    return float(((counts - expected) ** 2).sum() / expected)


def even(counts: np.ndarray) -> bool:
    freedom = len(counts) - 1
    return chi_square(counts) < freedom + DEVIATIONS * (2 * freedom) ** 0.5


def rows(order: Order, steps: int) -> Slots:
    """Return the slots of the first steps as one."""
    return Slots(*(np.concatenate(columns) for columns in zip(*map(order, range(steps)), strict=True)))


@settings(max_examples=200, deadline=None)
@given(n=st.integers(1, 5000), seed=st.integers(0, 2**63 - 1), epoch=st.integers(0, 1000))
def test_a_shuffle_puts_every_row_in_one_place(n: int, seed: int, epoch: int) -> None:
    assert sorted(permute(np.arange(n), n, (seed, 0, epoch)).tolist()) == list(range(n))


@settings(max_examples=100, deadline=None)
@given(n=st.integers(1, 500), at=st.lists(st.integers(0, 499), min_size=1))
def test_a_place_does_not_depend_on_which_others_are_asked_for(n: int, at: list[int]) -> None:
    index = np.array(at, np.int64) % n
    whole = permute(np.arange(n), n, (1, 2, 3))
    assert permute(index, n, (1, 2, 3)).tolist() == whole[index].tolist()


@pytest.mark.parametrize("other", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_another_seed_source_or_epoch_shuffles_otherwise(other: tuple[int, int, int]) -> None:
    index = np.arange(1000)
    same = permute(index, 1000, (0, 0, 0)) == permute(index, 1000, other)
    assert same.sum() < 10  # one fixed point is expected


@pytest.mark.parametrize("n", [2, 3, 4, 5, 16, 97])
def test_over_many_keys_every_row_comes_equally_often_to_every_place(n: int) -> None:
    shuffles = np.array([permute(np.arange(n), n, (0, 0, key)) for key in range(50 * n)])
    for place in range(n):
        assert even(np.bincount(shuffles[:, place], minlength=n))


@pytest.mark.parametrize("n", [5, 16, 97])
def test_over_many_keys_neighbours_come_to_any_distance(n: int) -> None:
    shuffles = np.array([permute(np.arange(n), n, (0, 0, key)) for key in range(50 * n)])
    distance = (shuffles[:, 1] - shuffles[:, 0]) % n
    assert even(np.bincount(distance, minlength=n)[1:])


def test_four_rows_are_shuffled_in_all_24_ways() -> None:
    ways = [tuple(permute(np.arange(4), 4, (0, 0, key)).tolist()) for key in range(2400)]
    kinds, counts = np.unique(ways, axis=0, return_counts=True)
    assert len(kinds) == 24
    assert even(counts)


@pytest.mark.parametrize(
    "weights",
    [
        [2, 1],
        [1, 1],
        [0.7, 0.2, 0.1],
        [0.333, 0.333, 0.334],
        [1 / 3, 2 / 3],
        [1e-3, 1, 10],
        [5, 1, 1, 1, 1, 1],
        [0.05] * 20,
    ],
)
def test_no_prefix_of_a_schedule_is_further_from_its_shares_than_tijdeman_allows(
    weights: list[float],
) -> None:
    pattern, n = schedule(weights), len(weights)
    bound = 1 - Fraction(1, 2 * n - 2)
    exact = [Fraction(str(weight)) for weight in weights]
    shares = [part / sum(exact) for part in exact]
    counts = [0] * n
    assert set(pattern.tolist()) == set(range(n))
    for place, source in enumerate((pattern if len(pattern) > 500 else np.tile(pattern, 3)).tolist(), 1):
        counts[source] += 1
        assert all(abs(count - share * place) <= bound for count, share in zip(counts, shares, strict=True))


@settings(max_examples=100, deadline=None)
@given(weights=st.lists(st.integers(1, 40), min_size=2, max_size=6))
def test_a_period_holds_every_source_as_often_as_its_weight(weights: list[int]) -> None:
    pattern = schedule(weights)
    assert (np.bincount(pattern) * sum(weights)).tolist() == [weight * len(pattern) for weight in weights]


def test_two_to_one_takes_turns() -> None:
    # worked out by hand: after each row the share is off by at most half a row
    assert schedule([2, 1]).tolist() == [0, 1, 0]


def test_one_source_is_always_taken() -> None:
    assert schedule([0.3]).tolist() == [0]


def test_weights_that_hardly_ever_repeat_are_refused() -> None:
    with pytest.raises(DataError, match=rf"repeat only after 100,001 rows \(at most {MAX_PERIOD:,}\); give"):
        schedule([1e-5, 1])


def test_the_first_ten_thousand_rows_hold_every_share_to_within_one_row() -> None:
    order = Order(dict.fromkeys(LENGTHS, 3000), WEIGHTS, 100, seed=0)
    for steps in (1, 7, 33, 100):
        counts = np.bincount(rows(order, steps).source, minlength=3)
        assert np.abs(counts - steps * np.array([70, 20, 10])).max() <= 1


def test_every_row_comes_once_in_every_epoch_of_its_source() -> None:
    slots = rows(Order(LENGTHS, WEIGHTS, 20, seed=5), 60)  # 1200 rows: 840, 240 and 120
    for number, (length, epochs) in enumerate([(50, 16), (31, 7), (23, 5)]):
        mine = slots.source == number
        for epoch in range(epochs):
            seen = slots.row[mine & (slots.epoch == epoch)]
            assert sorted(seen.tolist()) == list(range(length))
        assert (np.diff(slots.epoch[mine]) >= 0).all()


def test_no_two_epochs_have_the_same_order() -> None:
    slots = rows(Order({"photos": 50}, {"photos": 1}, 50, seed=5), 20)
    orders = slots.row.reshape(20, 50).tolist()
    assert all(before != after for before, after in pairwise(orders))


def test_sources_of_one_length_are_shuffled_apart() -> None:
    slots = rows(Order({"a": 40, "b": 40, "c": 40}, {"a": 1, "b": 1, "c": 1}, 30, seed=0), 4)
    first, second, third = (slots.row[slots.source == number].tolist() for number in range(3))
    assert first != second != third != first


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_the_parts_of_all_ranks_are_the_batch(ranks: int) -> None:
    whole = Order(LENGTHS, WEIGHTS, 20, seed=1)(17)
    parts = [whole.part(rank, ranks) for rank in range(ranks)]
    assert [len(part.source) for part in parts] == [20 // ranks] * ranks
    for column, pieces in zip(whole, zip(*parts, strict=True), strict=True):
        assert np.concatenate(pieces).tolist() == column.tolist()


def test_a_step_depends_on_the_seed_and_the_step_alone() -> None:
    first, second = (Order(LENGTHS, WEIGHTS, 20, seed=3) for _ in range(2))
    backwards = {step: first(step) for step in reversed(range(9))}
    for step in range(9):
        for column, again in zip(backwards[step], second(step), strict=True):
            assert column.tolist() == again.tolist()


def test_another_seed_gives_other_rows_of_the_same_sources() -> None:
    first, second = (Order(LENGTHS, WEIGHTS, 20, seed=seed)(0) for seed in (3, 4))
    assert first.source.tolist() == second.source.tolist()
    assert first.row.tolist() != second.row.tolist()


@pytest.mark.parametrize("length", [10_000_000, 10_000_000_000])
def test_a_source_of_millions_or_billions_of_rows_needs_no_memory_for_its_order(length: int) -> None:
    order = Order({"web": length, "notes": 1000}, {"web": 999, "notes": 1}, 1000, seed=0)
    slots = order(length // 999 + 1)  # the first epoch of web is over, at 999 rows a step
    web = slots.row[slots.source == 0]
    assert len(set(web.tolist())) == 999
    assert web.min() >= 0
    assert web.max() < length
    assert np.histogram(web, bins=4, range=(0, length))[0].min() > 180  # a quarter would be 250
    assert set(slots.epoch[slots.source == 0].tolist()) == {1}
    assert permute(np.arange(5), length, (0,)).tolist() != permute(np.arange(5), length, (1,)).tolist()


def test_an_empty_source_is_refused() -> None:
    with pytest.raises(DataError, match="source 'clips' is empty"):
        Order({"photos": 5, "clips": 0, "notes": 5}, WEIGHTS, 2, seed=0)


def test_a_source_smaller_than_its_part_of_a_batch_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"source 'clips' has 4 rows, but a batch of 22 takes 5 of it; lower train\.batch"
    ):
        Order({"photos": 50, "clips": 4, "notes": 23}, WEIGHTS, 22, seed=0)  # 4.4
    Order({"photos": 50, "clips": 5, "notes": 23}, WEIGHTS, 22, seed=0)


@pytest.mark.parametrize("steps", [1, 5, 12, 40])
def test_the_rows_of_the_first_steps_are_told_without_going_through_them(steps: int) -> None:
    order = Order({"one": 7, "two": 100}, {"one": 1, "two": 3}, batch=8, seed=4)
    held = [order(step) for step in range(steps)]
    for number in (0, 1):
        seen = {row for slots in held for row in slots.row[slots.source == number].tolist()}
        assert order.rows(number, steps).tolist() == sorted(seen)
