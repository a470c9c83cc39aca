"""Read a stream as if it had no end, each reading process its own part of it."""

from collections.abc import Iterator
from itertools import count, islice

from fusion.batch import Row, Stream
from fusion.errors import DataError


class Tap:
    """The rows of one part of a stream, over and over, each time shuffled anew.

    `skip` rows are passed over at first: about as many as were read before a resume. `last` is the row
    that was read before. Raises DataError when the part holds no row.
    """

    def __init__(self, stream: Stream, part: int, parts: int, seed: int, skip: int) -> None:
        self.last: Row | None = None
        self._rows = islice(_endless(stream, part, parts, seed), skip, None)

    def __next__(self) -> Row:
        self.last = next(self._rows)
        return self.last


def _endless(stream: Stream, part: int, parts: int, seed: int) -> Iterator[Row]:
    for turn in count():
        found = False
        for row in stream.rows(part, parts, seed + turn):
            found = True
            yield row
        if not found:
            raise DataError(
                f"the stream has no row for part {part + 1} of {parts}; use fewer processes or train.workers"
            )
