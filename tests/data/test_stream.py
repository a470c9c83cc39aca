"""Streams: every rank and worker reads a part of its own, over and over, in the shares of the recipe."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fusion import DataError, Row, Stream
from fusion.data.loader import Reader, Steps, load
from fusion.data.order import Order
from fusion.data.stream import Tap
from tests.data.toys import MIXING, collator, noisy

Make = Callable[..., Any]


class Counted(Stream):
    """A stream of `size` rows, the n-th of which is in part n modulo the number of parts."""

    def __init__(self, size: int) -> None:
        self.size = size

    def rows(self, part: int, parts: int, seed: int) -> Iterator[Row]:
        mine = list(range(self.size))[part::parts]
        turn = seed % max(1, len(mine))  # shuffled by turning
        for number in mine[turn:] + mine[:turn]:
            yield {"image": [number, seed], "text": None if number % 2 else [number, 0]}


def steps(rank: int = 0, ranks: int = 1, size: int = 24) -> Steps:
    sources = {"stream": Counted(size), "table": [{"audio": [n, n]} for n in range(8)]}
    order = Order({"stream": None, "table": 8}, {"stream": 3, "table": 1}, 8, 0)
    return Steps(Reader(sources, collator(), noisy(augmentations={})), order, rank, ranks)


def seen(batches: list[Any]) -> list[int]:
    return [int(n) for item in batches for n in item.batch.inputs["image"]["x"][:, 0].tolist()]


def test_a_tap_goes_through_its_part_again_and_again_with_another_seed() -> None:
    tap = Tap(Counted(6), part=1, parts=2, seed=0, skip=0)
    assert [next(tap)["image"] for _ in range(7)] == [
        [1, 0], [3, 0], [5, 0],
        [3, 1], [5, 1], [1, 1],
        [5, 2],
    ]  # fmt: skip


def test_a_tap_skips_what_was_read_before_a_resume() -> None:
    tap = Tap(Counted(6), part=0, parts=1, seed=0, skip=8)
    assert next(tap)["image"] == [3, 1]
    assert tap.last == {"image": [3, 1], "text": None}


def test_a_part_without_a_row_is_an_error() -> None:
    with pytest.raises(DataError, match=r"no row for part 3 of 3; use fewer processes or train\.workers"):
        next(Tap(Counted(2), part=2, parts=3, seed=0, skip=0))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("ranks", [1, 2])
def test_ranks_and_workers_share_a_stream_without_reading_a_row_twice(ranks: int, workers: int) -> None:
    numbers: list[int] = []
    for rank in range(ranks):
        batches = list(load(steps(rank, ranks), range(4), workers))
        numbers += seen(batches)
        for item in batches:
            assert Counter(item.batch.source.tolist()) == {0: 6 // ranks, 1: 2 // ranks}
    assert sorted(numbers) == list(range(24))  # 4 steps of 6 rows: one pass


def test_rows_of_a_stream_are_numbered_as_they_are_drawn() -> None:
    rows = [item.batch.row[item.batch.source == 0].tolist() for item in load(steps(), range(3), 0)]
    assert rows == [list(range(0, 6)), list(range(6, 12)), list(range(12, 18))]


def test_after_a_resume_a_stream_goes_on_where_it_was() -> None:
    whole = seen(list(load(steps(), range(6), 0)))
    resumed = seen(list(load(steps(), range(2, 6), 0)))
    assert resumed == whole[12:]


def test_a_modality_that_a_row_of_a_stream_lacks_is_absent() -> None:
    batch = steps()[0].batch
    assert batch.present["text"].tolist() == [n % 2 == 0 and source == 0 for n, source in _numbered(batch)]


def test_a_stream_mixes_with_the_row_that_was_read_before() -> None:
    sources = {"stream": Counted(10)}
    reader = Reader(sources, collator(), noisy(augmentations=MIXING))
    x = Steps(reader, Order({"stream": None}, {"stream": 1}, 5, 0), 0, 1)[0].batch.inputs["image"]["x"]
    assert x.tolist() == [[0, 0], [1, 0], [2, 1], [3, 2], [4, 3]]


def _numbered(batch: Any) -> Iterator[tuple[int, int]]:
    """Yield for each place the number of its row in the stream, and its source."""
    images = iter(batch.inputs["image"]["x"][:, 0].tolist())
    for source in batch.source.tolist():
        yield (int(next(images)) if source == 0 else 1), source
