"""Check a source of rows."""

import pickle
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from fusion.batch import Source
from fusion.errors import PluginError
from fusion.testing.expect import expect
from fusion.testing.pickles import travel

LOOKED_AT = 32  # rows, spread over the source


def check_source(source: Source) -> list[str]:
    """Check a source that has been built; return what passed."""
    return list(_checks(source))


def _checks(source: Source) -> Iterator[str]:
    size = len(source)
    expect(size > 0, "it has no rows", "one at least")
    places = sorted({int(place) for place in np.linspace(0, size - 1, min(size, LOOKED_AT))})
    for place in places:
        row = source[place]
        expect(isinstance(row, Mapping), f"row {place} is a {type(row).__name__}", "a mapping")
        expect(all(isinstance(key, str) for key in row), f"row {place} has the keys {list(row)}", "names")
        held = [key for key, value in row.items() if value is not None]
        expect(bool(held), f"row {place} holds nothing", "a modality or a target at least")
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

    copy = pickle.loads(travel("source", source))
    expect(len(copy) == size, f"its pickle has {len(copy)} rows", f"{size}, as before")
    for place in places:
        expect(same(copy[place], source[place]), f"row {place} differs in its pickle", "the same row")
    yield "it can be pickled, and the pickle has the same rows"


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
