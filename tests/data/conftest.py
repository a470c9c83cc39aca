"""Three modalities of two numbers each, in plain lists, and a processor that reads them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from fusion import DataError, Processor, Row, Target
from fusion.data.collate import Collator

NAMES = ("image", "text", "audio")


class Numbers(Processor):
    """Reads a list of two numbers; in training it adds noise, and a str is a sample that is broken."""

    def decode(self, raw: Any, rng: np.random.Generator | None) -> Any:
        if isinstance(raw, str):
            raise DataError(raw)
        return np.array(raw, np.float32) + (0 if rng is None else rng.normal(size=2).astype(np.float32))


class Table:
    """A source of rows that are written out, or of as many as `length` that are counted up."""

    def __init__(self, rows: Mapping[int, Row] | None = None, length: int | None = None) -> None:
        self.rows = dict(rows or {})
        self.length = len(self.rows) if length is None else length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Row:
        if index in self.rows:
            return self.rows[index]
        return {name: [index, number] for number, name in enumerate(NAMES)}


@pytest.fixture
def table() -> type[Table]:
    return Table


@pytest.fixture
def collator() -> Any:
    """Build a collator of the three modalities for given targets."""

    def build(**targets: Target) -> Collator:
        return Collator(dict.fromkeys(NAMES, Numbers()), targets)

    return build
