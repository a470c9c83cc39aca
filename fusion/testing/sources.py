"""Check a source of rows, with random access or as a stream."""

import pickle
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
from torch import Tensor

from fusion.batch import Source, Stream
from fusion.errors import PluginError
from fusion.testing.expect import expect
from fusion.testing.pickles import travel

LOOKED_AT = 32  # rows, spread over the source


def check_source(source: Source | Stream) -> list[str]:
    """Check a source that has been built; return what passed."""
    return list(_stream_checks(source) if isinstance(source, Stream) else _checks(source))


def _checks(source: Source) -> Iterator[str]:
    size = len(source)
    expect(size > 0, "it has no rows", "one at least")
    places = sorted({int(place) for place in np.linspace(0, size - 1, min(size, LOOKED_AT))})
    for place in places:
        _expect_row(source[place], place)
    yield f"it has {size} rows, which are mappings and hold something"

    for outside in (size, size + 1000):
        try:
            source[outside]
        except IndexError:
            continue
        raise PluginError(f"row {outside} of {size} exists; expected IndexError outside 0..{size - 1}")
    yield "a row outside raises IndexError"

    for place in places:
        expect(
            same(source[place], source[place]), f"row {place} differs when it is read again", "the same row"
        )
    yield "a row read twice is the same"

    copy = pickle.loads(travel("source", source))  # pickled here  # nosec B301
    expect(len(copy) == size, f"its pickle has {len(copy)} rows", f"{size}, as before")
    for place in places:
        expect(same(copy[place], source[place]), f"row {place} differs in its pickle", "the same row")
    yield "it can be pickled, and the pickle has the same rows"


def _stream_checks(stream: Stream) -> Iterator[str]:
    rows = _first(stream, 0, 1)
    expect(bool(rows), "its one part of one has no rows", "one at least")
    for place, row in enumerate(rows):
        _expect_row(row, place)
    yield f"its first {len(rows)} rows are mappings and hold something"

    expect(same(_first(stream, 0, 1), rows), "with the same seed it begins otherwise", "the same rows")
    yield "the same part and seed give the same rows"

    halves = [_first(stream, part, 2) for part in (0, 1)]
    expect(bool(halves[0] or halves[1]), "both of its two parts have no rows", "one at least")
    expect(
        not same(*halves),
        "both of its two parts begin alike",
        "rows that are in one part only: every worker would train on all of them",
    )
    yield "two parts begin with different rows"

    copy = pickle.loads(travel("source", stream))  # pickled here  # nosec B301
    expect(same(_first(copy, 0, 1), rows), "its pickle begins otherwise", "the same rows")
    yield "it can be pickled, and the pickle has the same rows"


def _first(stream: Stream, part: int, parts: int) -> list[Any]:
    return list(islice(stream.rows(part, parts, 0), LOOKED_AT))


def _expect_row(row: Any, place: int) -> None:
    expect(isinstance(row, Mapping), f"row {place} is a {type(row).__name__}", "a mapping")
    expect(all(isinstance(key, str) for key in row), f"row {place} has the keys {list(row)}", "names")
    held = [key for key, value in row.items() if value is not None]
    expect(bool(held), f"row {place} holds nothing", "a modality or a target at least")


def same(one: Any, other: Any) -> bool:
    """Whether two values of a row are equal, arrays bit for bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Tensor):
        return same(one.numpy(), other.numpy())
    if isinstance(one, np.ndarray):
        return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    return bool(one == other) or pickle.dumps(one) == pickle.dumps(other)
