"""Which rows make up the batch of a step: a pure function of (seed, step), whatever the number of ranks.

There is no loader state. Sources mix by an exact schedule, each source is shuffled anew in every epoch
of its own, and a shuffle takes no memory: a row's place is computed, not stored.
"""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fusion.errors import DataError

Ints = npt.NDArray[np.int64]

MAX_PERIOD = 100_000
ENDLESS = 2**62


class Slots(NamedTuple):
    """k rows to read: the number of the source, the row in it, and how often it was gone through before."""

    source: Ints  # (k,)
    row: Ints  # (k,)
    epoch: Ints  # (k,)

    def part(self, rank: int, ranks: int) -> "Slots":
        """Return the contiguous part of one rank; k must be divisible by `ranks`."""
        size = len(self.source) // ranks
        return Slots(*(column[rank * size : (rank + 1) * size] for column in self))

    @classmethod
    def unnumbered(cls, count: int) -> "Slots":
        """Return slots for rows that were handed over, not read from a source."""
        return cls(np.zeros(count, np.int64), np.arange(count, dtype=np.int64), np.zeros(count, np.int64))


class Order:
    """The global batch of every step.

    `lengths` and `weights` are by source name; a stream has no length, its rows are numbered as they are
    drawn. After any number of rows each source has had its share to within one row (`schedule`). Raises
    DataError for a source that is empty or smaller than its part of a batch, since every batch would then
    hold rows twice.
    """

    def __init__(
        self, lengths: Mapping[str, int | None], weights: Mapping[str, float], batch: int, seed: int
    ) -> None:
        self.sizes, self.batch, self.seed = dict(lengths), batch, seed
        self.streams = np.array([length is None for length in lengths.values()])
        self.lengths = np.array([ENDLESS if size is None else size for size in lengths.values()], np.int64)
        self.pattern = schedule(list(weights.values()))
        taken = np.array([self.pattern == number for number in range(len(lengths))])
        self._before = np.cumsum(taken, axis=1) - taken  # rows of each source before a place in the pattern
        self._counts = taken.sum(axis=1)
        for name, length, count in zip(lengths, self.lengths.tolist(), self._counts, strict=True):
            need = math.ceil(batch * count / len(self.pattern))
            if length == 0:
                raise DataError(f"source {name!r} is empty")
            if length < need:
                raise DataError(
                    f"source {name!r} has {length} rows, but a batch of {batch} takes {need} of it; "
                    "lower train.batch or the source's weight"
                )

    def taken(self, number: int, step: int) -> int:
        """Return how many rows of a source the steps before this one hold."""
        period, offset = divmod(step * self.batch, len(self.pattern))
        return int(period * self._counts[number] + self._before[number, offset])

    def rows(self, number: int, steps: int) -> Ints:
        """Return which rows of a source the first steps hold, sorted, each once."""
        taken, length = self.taken(number, steps), int(self.lengths[number])
        if taken >= length:
            return np.arange(length, dtype=np.int64)
        return np.sort(permute(np.arange(taken, dtype=np.int64), length, (self.seed, number, 0)))

    def __call__(self, step: int) -> Slots:
        """Return the rows of the global batch of this step (from 0)."""
        place = np.arange(step * self.batch, (step + 1) * self.batch, dtype=np.int64)
        period, offset = np.divmod(place, len(self.pattern))
        source = self.pattern[offset]
        drawn = period * self._counts[source] + self._before[source, offset]
        epoch, index = np.divmod(drawn, self.lengths[source])
        row = np.empty_like(index)
        for number, turn in set(zip(source.tolist(), epoch.tolist(), strict=True)):
            chosen = (source == number) & (epoch == turn)
            row[chosen] = (
                index[chosen]
                if self.streams[number]
                else permute(index[chosen], int(self.lengths[number]), (self.seed, number, turn))
            )
        return Slots(source, row, epoch)


def schedule(weights: Sequence[float]) -> Ints:
    """Return one period of source numbers in which every prefix holds each source's share to within one.

    Tijdeman (1980), The chairman assignment problem: among the sources that may take a place without
    getting too far ahead, the one whose deadline comes first; for n sources no prefix is off by more
    than 1 - 1/(2n - 2). Weights are taken as the decimal fractions they are written as.
    """
    fractions = [Fraction(str(weight)) for weight in weights]
    unit = Fraction(
        math.gcd(*(part.numerator for part in fractions)), math.lcm(*(part.denominator for part in fractions))
    )
    shares = [int(part / unit) for part in fractions]
    divisor = math.gcd(*shares)
    shares = [share // divisor for share in shares]
    period, n = sum(shares), len(shares)
    if period > MAX_PERIOD:
        raise DataError(
            f"the weights {list(weights)} repeat only after {period:,} rows (at most {MAX_PERIOD:,}); "
            "give them as ratios of smaller numbers"
        )
    if n == 1:
        return np.zeros(1, np.int64)
    counts = [0] * n
    pattern = np.empty(period, np.int64)
    slack = Fraction(period, 2 * n - 2)
    for place in range(1, period + 1):
        behind = [share * place - count * period for share, count in zip(shares, counts, strict=True)]
        due = [number for number in range(n) if behind[number] >= slack]
        first = min(due, key=lambda number: (period - slack - behind[number]) / shares[number])
        pattern[place - 1] = first
        counts[first] += 1
    return pattern


def permute(index: Ints, length: int, key: Sequence[int]) -> Ints:
    """Return where a shuffle of `length` rows, chosen by `key`, puts each index: a bijection on them.

    A Feistel network over the next power of four, walked until it lands inside (Black and Rogaway 2002,
    Ciphers with arbitrary finite domains): random access in constant memory, also for billions of rows.
    """
    half = np.uint64(max(1, ((length - 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    rounds = np.random.SeedSequence(key).generate_state(8, np.uint64)
    out = index.astype(np.uint64)
    inside = np.zeros(len(out), bool)
    while not inside.all():
        walking = out[~inside]
        left, right = walking >> half, walking & mask
        for round_key in rounds:
            left, right = right, left ^ (_mix(right ^ round_key) & mask)
        out[~inside] = (left << half) | right
        inside = out < length
    return out.astype(np.int64)


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
