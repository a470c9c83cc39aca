"""Each check of a source finds the bug that it is there for."""

from typing import Any

import numpy as np
import pytest

from fusion import PluginError
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
