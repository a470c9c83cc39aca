"""Each check of a source, or of a stream, finds the bug that it is there for."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fusion import PluginError, Stream
from fusion.testing import check_source


class Rows:
    def __init__(self, size: int = 3) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < self.size:
            raise IndexError(index)
        return {"wave": np.full(2 + index, 0.5), "label": index, "text": None}


def test_a_good_source_passes() -> None:
    assert len(check_source(Rows())) == 4


class Endless(Rows):
    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index % self.size)


class Tuples(Rows):
    def __getitem__(self, index: int) -> Any:
        return tuple(super().__getitem__(index).values())


class Hollow(Rows):
    def __getitem__(self, index: int) -> Any:
        return dict.fromkeys(super().__getitem__(index))


class Noisy(Rows):
    def __getitem__(self, index: int) -> Any:
        row = super().__getitem__(index)
        return row | {"wave": row["wave"] + np.random.default_rng().normal(size=len(row["wave"]))}


class Held(Rows):
    def __init__(self) -> None:
        super().__init__()
        self.lock = (number for number in range(3))


class Changed(Rows):
    def __reduce__(self) -> Any:
        return Rows, (2,)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Rows(0), "it has no rows"),
        (Endless(), r"row 3 of 3 exists; expected IndexError outside 0\.\.2"),
        (Tuples(), "row 0 is a tuple; expected a mapping"),
        (Hollow(), "row 0 holds nothing"),
        (Noisy(), "row 0 differs when it is read again"),
        (Held(), "the source cannot be pickled: .*generator"),
        (Changed(), "its pickle has 2 rows; expected 3, as before"),
    ],
)
def test_a_faulty_source_is_found(source: Any, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        check_source(source)


class Flow(Stream):
    """Rows of which every part has its own."""

    def rows(self, part: int, parts: int, seed: int) -> Iterator[Any]:
        draw = np.random.default_rng((seed, 1))
        for place in draw.permutation(100)[part::parts]:
            yield {"wave": np.full(2, place), "label": int(place)}


def test_a_good_stream_passes() -> None:
    assert len(check_source(Flow())) == 4


class Dry(Flow):
    def rows(self, part: int, parts: int, seed: int) -> Iterator[Any]:
        yield from ()


class OneShard(Flow):
    """Cannot be split: all is in the first part."""

    def rows(self, part: int, parts: int, seed: int) -> Iterator[Any]:
        yield from super().rows(0, 1, seed) if part == 0 else ()


def test_a_stream_of_one_part_passes() -> None:
    assert len(check_source(OneShard())) == 4


class Lists(Flow):
    def rows(self, part: int, parts: int, seed: int) -> Iterator[Any]:
        yield from (list(row) for row in super().rows(part, parts, seed))


class Drifting(Flow):
    def __init__(self) -> None:
        self.times = 0

    def rows(self, part: int, parts: int, seed: int) -> Iterator[Any]:
        self.times += 1
        yield from super().rows(part, parts, self.times)


class SameParts(Flow):
    def rows(self, part: int, parts: int, seed: int) -> Iterator[Any]:
        yield from super().rows(0, 1, seed)


class NoHalves(Flow):
    def rows(self, part: int, parts: int, seed: int) -> Iterator[Any]:
        yield from super().rows(part, parts, seed) if parts == 1 else ()


class HeldFlow(Flow):
    def __init__(self) -> None:
        self.lock = (number for number in range(3))


class ChangedFlow(Flow):
    def __reduce__(self) -> Any:
        return SameParts, ()

    def rows(self, part: int, parts: int, seed: int) -> Iterator[Any]:
        yield from super().rows(part, parts, 5)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (Dry(), "its one part of one has no rows; expected one at least"),
        (Lists(), "row 0 is a list; expected a mapping"),
        (Drifting(), "with the same seed it begins otherwise; expected the same rows"),
        (SameParts(), "both of its two parts begin alike; expected rows that are in one part only"),
        (NoHalves(), "both of its two parts have no rows"),
        (HeldFlow(), "the source cannot be pickled: .*generator"),
        (ChangedFlow(), "its pickle begins otherwise"),
    ],
)
def test_a_faulty_stream_is_found(stream: Any, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        check_source(stream)
