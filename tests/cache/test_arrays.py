"""Arrays grow row by row, are ordinary .npy files, and are read across parts."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from fusion.cache.arrays import Growing, Joined

PARTS = [np.arange(10.0).reshape(5, 2), np.empty((0, 2)), np.arange(100.0, 106.0).reshape(3, 2)]


@pytest.fixture
def joined(tmp_path: Path) -> Joined:
    paths = []
    for number, values in enumerate(PARTS):
        array = Growing(tmp_path / f"a-{number}.npy", np.float32, (2,))
        for start in range(0, len(values), 2):
            array.append(values[start : start + 2])
        array.close()
        paths.append(array.path)
    return Joined(paths)


def test_each_part_is_an_npy_file(joined: Joined) -> None:
    for path, values in zip(joined.paths, PARTS, strict=True):
        read = np.load(path, allow_pickle=False)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, values)


def test_a_header_has_room_for_any_number_of_rows(tmp_path: Path) -> None:
    array = Growing(tmp_path / "a.npy", np.int64)
    before = len(array._header())
    array.rows = 10**15
    assert len(array._header()) == before


def test_rows_are_taken_in_the_order_that_is_asked_for(joined: Joined) -> None:
    assert len(joined) == 8
    places = np.array([7, 0, 5, 4, 0])
    np.testing.assert_array_equal(joined.take(places), np.concatenate(PARTS)[places])
    assert joined.take(np.array([], np.int64)).shape == (0, 2)
    np.testing.assert_array_equal(joined.between(5, 7), [[100, 101], [102, 103]])
    np.testing.assert_array_equal(joined.whole(), np.concatenate(PARTS))


def test_what_is_mapped_is_not_pickled(joined: Joined) -> None:
    joined.whole()
    copied = pickle.dumps(joined)
    assert b"float32" not in copied
    assert len(pickle.loads(copied)) == 8
