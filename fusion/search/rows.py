"""Rows by their numbers, as ranges: a range takes as much room as a row."""

import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
FORM = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?")
"""Of a range, whose numbers 64 bits hold."""


class Rows(NamedTuple):
    """Ranges in order, of which none touches the next."""

    starts: Ints
    ends: Ints  # the first row behind each

    @classmethod
    def read(cls, text: str) -> "Rows":
        """Return rows such as 3,10-12, in any order: the last of a range is one of it. Raises ValueError."""
        parts = [part.strip() for part in text.split(",") if part.strip()]
        found = [FORM.fullmatch(part) for part in parts]
        spans = [(int(one[1]), int(one[2] or one[1])) for one in found if one]
        if len(spans) < len(parts) or any(first > last for first, last in spans):
            raise ValueError(f"{text!r:.80} are not numbers of rows such as 3,10-12")
        firsts, lasts = np.array(sorted(spans), dtype=np.int64).reshape(-1, 2).T
        return cls._joined(firsts, lasts + 1)

    @classmethod
    def of(cls, numbers: Ints) -> "Rows":
        """Return rows by their numbers, which are in order."""
        return cls._joined(numbers, numbers + 1)

    @classmethod
    def _joined(cls, starts: Ints, ends: Ints) -> "Rows":
        if not len(starts):
            return cls(starts, ends)
        ends = np.maximum.accumulate(ends)
        apart = starts[1:] > ends[:-1]
        return cls(starts[np.append(True, apart)], ends[np.append(apart, True)])

    def __str__(self) -> str:
        spans = zip(self.starts.tolist(), (self.ends - 1).tolist(), strict=True)
        return ",".join(f"{first}-{last}" if first < last else f"{first}" for first, last in spans)

    def holds(self, numbers: Ints) -> npt.NDArray[np.bool_]:
        """Return for each number whether it is that of one of the rows."""
        place = np.searchsorted(self.starts, numbers, side="right") - 1
        if not len(self.starts):
            return place >= 0
        return (place >= 0) & (numbers < self.ends[place])

    def common(self, other: "Rows") -> int | None:
        """Return the first row that both hold, if there is one: it begins a range of one of them."""
        firsts = [*self.starts[other.holds(self.starts)], *other.starts[self.holds(other.starts)]]
        return int(min(firsts)) if firsts else None

    def beyond(self, count: int) -> "Rows":
        """Return those from this number on."""
        behind = self.ends > count
        return Rows(np.maximum(self.starts[behind], count), self.ends[behind])

    def joined(self, other: "Rows") -> "Rows":
        """Return the rows of both."""
        starts, ends = np.append(self.starts, other.starts), np.append(self.ends, other.ends)
        order = starts.argsort(kind="stable")
        return Rows._joined(starts[order], ends[order])


NONE = Rows.read("")
