"""Runs are added, the best first, unless one makes the mean worse."""

from collections.abc import Callable, Sequence

import pytest

from fusion import Merging

Build = Callable[..., Merging]


def choose(build: Build, table: dict[tuple[int, ...], float], runs: int) -> tuple[list[float], list[object]]:
    """Choose by a table of what the mean of some runs measures; also return what was asked, in order."""
    asked: list[object] = []

    def measure(weights: Sequence[float]) -> float:
        chosen = tuple(number for number, weight in enumerate(weights) if weight)
        assert [weights[number] for number in chosen] == [1 / len(chosen)] * len(chosen)
        asked.append(chosen)
        return table[chosen]

    soup = build("greedy-soup")
    return soup.choose(soup.weigh([], runs), measure), asked


def test_runs_are_tried_from_the_best_to_the_worst(build: Build) -> None:
    table = {(0,): 0.6, (1,): 0.9, (2,): 0.7, (1, 2): 0.95, (0, 1, 2): 0.9}
    assert choose(build, table, 3) == ([0.0, 0.5, 0.5], [(0,), (1,), (2,), (1, 2), (0, 1, 2)])


def test_one_that_changes_nothing_is_added_and_one_that_hurts_is_not(build: Build) -> None:
    table = {(0,): 0.9, (1,): 0.8, (2,): 0.7, (0, 1): 0.85, (0, 2): 0.9}
    assert choose(build, table, 3)[0] == [0.5, 0.0, 0.5]


def test_a_single_run_is_taken(build: Build) -> None:
    assert choose(build, {(0,): 0.1}, 1)[0] == [1.0]


def test_weights_are_refused(build: Build) -> None:
    with pytest.raises(ValueError, match="it chooses among the runs and takes no weights"):
        build("greedy-soup").weigh([1.0, 1.0], 2)
