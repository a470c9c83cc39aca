"""Rows of many requests are answered together, and none for or against another."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fusion import DataError
from fusion.inference import Encoded
from fusion.serve.batches import Batches
from fusion.serve.request import FullError, StoppedError
from tests.serve.toys import Toy, doubled, squared

Open = Callable[..., Batches]


@pytest.fixture
def open_batches() -> Iterator[Open]:
    opened: list[Batches] = []

    def begin(toy: Toy, **options: Any) -> Batches:
        opened.append(Batches(toy, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield begin
    for batches in opened:
        batches.predictor.gate.set()  # type: ignore[attr-defined]
        batches.close()


def rows(*values: float) -> list[dict[str, float]]:
    return [{"number": value} for value in values]


def test_what_waits_is_one_forward_and_each_gets_its_own(open_batches: Open) -> None:
    toy, asked = Toy(closed=True), list[tuple[str, int]]()

    def counted(encoded: Encoded) -> list[float]:
        asked.append(("counted", len(encoded.fused)))
        return doubled(encoded)

    batches = open_batches(toy, rows=4)
    first = batches.submit(rows(1.0), counted, 60)
    toy.entered.wait(60)  # the first is alone: what comes now waits for it
    asks = [(rows(2.0), counted), (rows(3.0, 4.0), squared), (rows(5.0, 6.0), counted)]
    others = [batches.submit(some, ask, 60) for some, ask in asks]
    assert batches.waiting == 5
    toy.gate.set()
    assert first.result(60) == [2.0]
    assert [other.result(60) for other in others] == [[4.0], [9.0, 16.0], [10.0, 12.0]]
    assert toy.batches == [[1.0], [2.0, 3.0, 4.0, 5.0], [6.0]]
    assert [some for _, some in asked] == [1, 2, 1]  # equal asks of a batch are one


def test_a_full_batch_does_not_wait_and_one_that_is_not_waits_no_longer_than_it_may(
    open_batches: Open,
) -> None:
    toy = Toy()
    batches = open_batches(toy, rows=2, wait=600.0)
    assert batches.submit(rows(1.0, 2.0), doubled, 900).result(60) == [2.0, 4.0]
    short = open_batches(Toy(), rows=2, wait=0.05)
    began = time.monotonic()
    assert short.submit(rows(1.0), doubled, 60).result(60) == [2.0]
    assert time.monotonic() - began >= 0.05


def test_a_row_that_fails_in_the_forward_fails_alone(
    open_batches: Open, caplog: pytest.LogCaptureFixture
) -> None:
    toy = Toy(closed=True)
    batches = open_batches(toy, rows=8)
    first = batches.submit(rows(0.0), doubled, 60)
    toy.entered.wait(60)
    mixed = batches.submit(rows(1.0, Toy.BREAKS, 2.0), doubled, 60)
    stranger = batches.submit(rows(3.0, 4.0), squared, 60)
    toy.gate.set()
    assert first.result(60) == [0.0]
    one, two, three = mixed.result(60)
    assert (one, three) == (2.0, 4.0)
    assert str(two) == "the model failed on it (RuntimeError)"
    assert stranger.result(60) == [9.0, 16.0]
    assert "a row could not be answered" in caplog.text


def test_a_row_that_cannot_be_read_or_gives_no_number_is_an_error_of_its_own(open_batches: Open) -> None:
    batches = open_batches(Toy(), wait=0.02)
    given = [*rows(1.0, Toy.UNREADABLE, Toy.FAULTY, float("nan")), DataError("before"), *rows(2.0)]
    found = batches.submit(given, doubled, 60).result(60)
    assert [str(answer) for answer in found] == [
        "2.0",
        "no number",
        "the model failed on it (KeyError)",
        "its vectors hold NaN or infinity",
        "before",
        "4.0",
    ]
    assert [str(answer) for answer in batches.submit([DataError("only")], doubled, 60).result(0)] == ["only"]


def test_more_than_may_wait_is_told_when_to_come_again(open_batches: Open) -> None:
    toy = Toy(closed=True)
    batches = open_batches(toy, rows=1, queue=3)
    begun = batches.submit(rows(1.0), doubled, 60)
    toy.entered.wait(60)
    many = batches.submit(rows(2.0, 3.0, 4.0, 5.0), doubled, 60)  # nobody waits, so they are taken
    with pytest.raises(FullError, match="too much waits for an answer; try again in 1 s") as told:
        batches.submit(rows(6.0), doubled, 60)
    assert told.value.seconds == 1
    toy.gate.set()
    assert begun.result(60) + many.result(60) == [2.0, 4.0, 6.0, 8.0, 10.0]
    assert batches.submit(rows(6.0), doubled, 60).result(60) == [12.0]


def test_how_long_to_wait_follows_from_the_pace(open_batches: Open) -> None:
    toy = Toy(closed=True)
    batches = open_batches(toy, rows=1)
    batches._pace = 0.7
    batches.submit(rows(1.0), doubled, 60)
    toy.entered.wait(60)
    batches.submit(rows(1.0, 2.0, 3.0), doubled, 60)
    assert batches.patience == 3  # of 2.1 s


def test_a_row_whose_time_is_over_is_not_answered(open_batches: Open) -> None:
    toy = Toy(closed=True)
    batches = open_batches(toy, rows=2)
    begun = batches.submit(rows(1.0), doubled, 60)
    toy.entered.wait(60)
    late, next_one = batches.submit(rows(2.0, 3.0), doubled, 0), batches.submit(rows(4.0), doubled, 60)
    toy.gate.set()
    with pytest.raises(TimeoutError):
        late.result(60)
    assert begun.result(60) + next_one.result(60) == [2.0, 8.0]
    assert toy.batches == [[1.0], [4.0]]


def test_closing_answers_what_waits_and_takes_no_more(open_batches: Open) -> None:
    toy = Toy(closed=True)
    batches = open_batches(toy, rows=1, wait=60.0)
    waiting = [batches.submit(rows(value), doubled, 90) for value in (1.0, 2.0, 3.0)]
    toy.entered.wait(60)
    ending = threading.Thread(target=batches.close)
    ending.start()
    while batches.alive:
        time.sleep(0.001)
    with pytest.raises(StoppedError, match="the server is stopping"):
        batches.submit(rows(4.0), doubled, 60)
    toy.gate.set()
    ending.join(60)
    assert [one.result(60) for one in waiting] == [[2.0], [4.0], [6.0]]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # as it has to be here
def test_an_error_of_our_own_leaves_nobody_waiting(open_batches: Open) -> None:
    toy = Toy(closed=True)

    def fail(rows: int, seconds: float) -> None:
        raise ZeroDivisionError

    batches = open_batches(toy, rows=1, seen=fail)
    begun = batches.submit(rows(1.0), doubled, 60)
    toy.entered.wait(60)
    waiting = batches.submit(rows(2.0), doubled, 60)
    toy.gate.set()
    assert begun.result(60) == [2.0]
    with pytest.raises(StoppedError, match="the server has stopped"):
        waiting.result(60)
    assert not batches.alive


def test_each_batch_is_told_with_its_rows_and_seconds(open_batches: Open) -> None:
    told: list[tuple[int, float]] = []
    batches = open_batches(Toy(), rows=2, seen=lambda rows, seconds: told.append((rows, seconds)))
    batches.submit(rows(1.0, 2.0, 3.0), doubled, 60).result(60)
    batches.close()
    assert [some for some, _ in told] == [2, 1]
    assert all(seconds >= 0 for _, seconds in told)
