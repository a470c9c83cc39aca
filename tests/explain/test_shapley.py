"""Shapley values keep the axioms by which they are defined, and give the closed forms of small games."""

import itertools
from collections.abc import Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion.explain.shapley import MOST, Subset, shapley, subsets

PLAYERS = ("image", "text", "audio", "touch")
WORTHS = st.lists(st.floats(-100, 100), min_size=16, max_size=16)


def game(worths: list[float]) -> dict[Subset, torch.Tensor]:
    return dict(zip(subsets(PLAYERS), torch.tensor(worths, dtype=torch.float64), strict=True))


def solved(worth: Mapping[Subset, torch.Tensor]) -> dict[str, float]:
    return {name: float(value) for name, value in shapley(PLAYERS, worth.__getitem__).items()}


def in_all_orders(worth: Mapping[Subset, torch.Tensor]) -> dict[str, float]:
    """The definition: the mean over all orders of what a player adds to those before it."""
    found = dict.fromkeys(PLAYERS, 0.0)
    orders = list(itertools.permutations(PLAYERS))
    for order in orders:
        for place, player in enumerate(order):
            before = tuple(name for name in PLAYERS if name in order[:place])
            after = tuple(name for name in PLAYERS if name in order[: place + 1])
            found[player] += float(worth[after] - worth[before]) / len(orders)
    return found


@given(WORTHS)
@settings(max_examples=50, deadline=None)
def test_it_is_the_mean_over_all_orders_and_adds_up(worths: list[float]) -> None:
    worth = game(worths)
    found = solved(worth)
    assert found == pytest.approx(in_all_orders(worth), abs=1e-10)
    assert sum(found.values()) == pytest.approx(worths[-1] - worths[0], abs=1e-10)


@given(WORTHS, st.sampled_from(list(itertools.combinations(PLAYERS, 2))))
@settings(max_examples=50, deadline=None)
def test_players_that_can_be_exchanged_get_the_same(worths: list[float], pair: tuple[str, str]) -> None:
    worth = game(worths)
    other = dict(zip(pair, reversed(pair), strict=True))
    for subset in worth:
        exchanged = {other.get(name, name) for name in subset}
        worth[tuple(name for name in PLAYERS if name in exchanged)] = worth[subset]
    found = solved(worth)
    assert found[pair[0]] == pytest.approx(found[pair[1]], abs=1e-10)


@given(WORTHS, st.sampled_from(PLAYERS), st.floats(-10, 10))
@settings(max_examples=50, deadline=None)
def test_a_player_that_adds_the_same_to_all_gets_that(worths: list[float], player: str, own: float) -> None:
    worth = game(worths)
    for subset in worth:
        if player in subset:
            worth[subset] = worth[tuple(name for name in subset if name != player)] + own
    assert solved(worth)[player] == pytest.approx(own, abs=1e-10)


@given(WORTHS, WORTHS, st.floats(-3, 3))
@settings(max_examples=50, deadline=None)
def test_the_value_of_a_sum_of_games_is_the_sum_of_values(
    first: list[float], second: list[float], factor: float
) -> None:
    one, two = solved(game(first)), solved(game(second))
    both = solved(game([a + factor * b for a, b in zip(first, second, strict=True)]))
    assert both == pytest.approx({name: one[name] + factor * two[name] for name in PLAYERS}, abs=1e-9)


def test_the_glove_game() -> None:
    """Two have a left glove and one a right one, a pair is worth 1: 1/6, 1/6 and 2/3."""

    def value(subset: Subset) -> torch.Tensor:
        return torch.tensor(float("right" in subset and len(subset) > 1))

    found = shapley(("left", "other left", "right"), value)
    assert [float(part) for part in found.values()] == pytest.approx([1 / 6, 1 / 6, 2 / 3], abs=1e-15)


def test_the_airport_game() -> None:
    """A runway is as long as its largest plane needs; each length is shared by those who need it.

    Littlechild and Owen 1973: of costs 1, 3 and 6 the shares are 1/3, 1/3 + 2/2 and 1/3 + 2/2 + 3.
    """
    cost = {"small": 1.0, "middle": 3.0, "large": 6.0}
    found = shapley(tuple(cost), lambda given: torch.tensor(max([0.0, *(cost[name] for name in given)])))
    assert [float(part) for part in found.values()] == pytest.approx([1 / 3, 4 / 3, 13 / 3], abs=1e-15)


def test_values_of_many_rows_are_solved_at_once_and_each_subset_is_asked_once() -> None:
    asked: list[Subset] = []

    def value(subset: Subset) -> torch.Tensor:
        asked.append(subset)
        return torch.tensor([len(subset), 10.0 * ("text" in subset)])

    found = shapley(PLAYERS[:3], value)
    assert asked == subsets(PLAYERS[:3])
    torch.testing.assert_close(found["text"], torch.tensor([1.0, 10.0], dtype=torch.float64))
    torch.testing.assert_close(found["image"], torch.tensor([1.0, 0.0], dtype=torch.float64))


def test_too_many_players_are_refused() -> None:
    players = [str(number) for number in range(MOST + 1)]
    with pytest.raises(ValueError, match="11 players have 2,048 subsets; exact for up to 10 players"):
        shapley(players, lambda subset: torch.zeros(1))
