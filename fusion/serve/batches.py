"""Gather the rows of many requests into batches, in a thread of its own."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from fusion.batch import Row
from fusion.errors import DataError
from fusion.inference import Predictor
from fusion.serve.forward import Read, broken, settle
from fusion.serve.request import Ask, FullError, Request, StoppedError


class Waiting(NamedTuple):
    """A row that waits to be read, and its place among those of its request."""

    request: Request
    place: int
    row: Row
    since: float


class Batches:
    """Answers up to `rows` rows in one forward, of whichever requests they are.

    A row waits for others, at most `wait` seconds, and while the batch before is answered; `queue` rows may
    wait. Each is read alone. `seen` hears of each batch: its rows, and the seconds that it took.
    """

    def __init__(
        self,
        predictor: Predictor,
        rows: int = 64,
        wait: float = 0.0,
        queue: int = 256,
        seen: Callable[[int, float], None] = lambda rows, seconds: None,
    ) -> None:
        self.predictor, self.rows, self.wait, self.queue, self.seen = predictor, rows, wait, queue, seen
        self._waiting: deque[Waiting] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._pace = 0.0  # seconds for a row, lately
        self._thread = threading.Thread(target=self._work, name="fusion-serve", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many rows wait."""
        return len(self._waiting)

    @property
    def alive(self) -> bool:
        """Whether rows are answered."""
        return self._thread.is_alive() and not self._closed

    @property
    def patience(self) -> int:
        """In how many seconds those that wait will have been answered, at least 1."""
        return max(1, math.ceil(self._pace * len(self._waiting)))

    def submit(self, rows: Sequence[Row | DataError], ask: Ask, seconds: float) -> Future[list[Any]]:
        """Return where the answers for rows will be, in so many seconds, or else a TimeoutError.

        An error in the place of a row is its answer. Raises FullError and StoppedError.
        """
        now = time.monotonic()
        request = Request(len(rows), ask, now + seconds)
        new = [
            Waiting(request, place, row, now)
            for place, row in enumerate(rows)
            if not isinstance(row, DataError)
        ]
        with self._changed:
            if not self.alive:
                raise StoppedError("the server is stopping")
            if self._waiting and len(self._waiting) + len(new) > self.queue:
                raise FullError(self.patience)
            for place, row in enumerate(rows):
                if isinstance(row, DataError):
                    request.settle(place, row)
            self._waiting.extend(new)
            self._changed.notify()
        return request.answered

    def close(self) -> None:
        """Answer what waits, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        try:
            while taken := self._take():
                began = time.monotonic()
                settle(self.predictor, [read for waiting in taken for read in self._read(waiting)])
                took = time.monotonic() - began
                self._pace = took / len(taken)
                self.seen(len(taken), took)
        finally:  # also after an error of our own, when nobody shall wait for what never comes
            with self._changed:
                self._closed = True
                while self._waiting:
                    self._waiting.popleft().request.fail(StoppedError("the server has stopped"))

    def _take(self) -> list[Waiting]:
        """Return the next batch, once it is full or its first row has waited; nothing at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._waiting:
                left = self._waiting[0].since + self.wait - time.monotonic()
                self._changed.wait_for(
                    lambda: len(self._waiting) >= self.rows or self._closed, max(0.0, left)
                )
            return [self._waiting.popleft() for _ in range(min(self.rows, len(self._waiting)))]

    def _read(self, waiting: Waiting) -> list[Read]:
        request, place = waiting.request, waiting.place
        if time.monotonic() > request.until:
            request.fail(TimeoutError())
            return []
        try:
            return [Read(request, place, self.predictor.decode(waiting.row))]
        except DataError as error:
            request.settle(place, error)
        except Exception as error:  # a processor that does not keep its contract
            request.settle(place, broken(error))
        return []
