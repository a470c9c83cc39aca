"""A film of which a part is seen, and whose frames are changed as they are read; none is read before."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fusion import DataError

Frames = Iterator[Any]
"""Pictures in any form that `fusion.decode.image` reads, in their order."""


class Film(NamedTuple):
    """What augmentations and corruptions make of a film: what `reading.frames` has to do, and in which order.

    `start` and `end` are shares of the frames. Of each part of equal length the middle frame is read, or with
    `scatter`, a seed, one at random.
    """

    raw: Any
    start: float = 0.0
    end: float = 1.0
    scatter: int | None = None
    changes: tuple[Callable[[Frames], Frames], ...] = ()

    def part(self, frames: int) -> range:
        """Return which of all the frames are seen, one at least."""
        first = min(int(self.start * frames), frames - 1)
        return range(first, max(first + 1, round(self.end * frames)))

    def places(self, frames: int, count: int) -> list[int]:
        """Return which frames are read, up to `count` of those that are seen."""
        part = self.part(frames)
        if self.scatter is None or len(part) <= count:
            return [part[place] for place in middles(len(part), count)]
        ends = [number * len(part) // count for number in range(count + 1)]
        return [part[place] for place in np.random.default_rng(self.scatter).integers(ends[:-1], ends[1:])]

    def changed(self, change: Callable[[Frames], Frames]) -> "Film":
        """Return the film with one more change, after those before."""
        return self._replace(changes=(*self.changes, change))


@dataclass(frozen=True)
class Change:
    """Changes frame by frame, by (picture, generator): one generator for all, or `alike`, a like one each."""

    by: Callable[[Any, np.random.Generator], Any]
    seed: int
    alike: bool = False

    def __call__(self, frames: Frames) -> Frames:
        rng = np.random.default_rng(self.seed)
        for frame in frames:
            yield self.by(frame, np.random.default_rng(self.seed) if self.alike else rng)


def film(raw: Any) -> Film:
    """Return a film to be changed; nothing of it is read. Raises DataError for what cannot be one."""
    if isinstance(raw, Film):
        return raw
    if not isinstance(raw, str | bytes | os.PathLike) and not (isinstance(raw, np.ndarray) and raw.ndim == 4):
        raise DataError(
            f"video expected as a path, bytes, or an array (t, h, w, 3), not {type(raw).__name__}"
        )
    return Film(raw)


def seed(rng: np.random.Generator) -> int:
    """Draw what a change draws its numbers from when the film is read."""
    return int(rng.integers(2**62))


def middles(frames: int, count: int) -> Sequence[int]:
    """Return the middle frame of each of `count` equal parts (Wang et al. 2016); all of fewer frames."""
    if frames <= count:
        return range(frames)
    return [(2 * part + 1) * frames // (2 * count) for part in range(count)]
