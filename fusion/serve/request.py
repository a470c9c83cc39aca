"""Some rows of one client that wait for their answers."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from fusion.errors import FusionError
from fusion.inference import Encoded

Ask = Callable[[Encoded], list[Any]]
"""What a request wants to know of r encoded rows: r answers. Rows of equal ones are asked about at once."""


class FullError(FusionError):
    """So many rows wait that no more are taken; `seconds` until that may be otherwise."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too much waits for an answer; try again in {seconds} s")
        self.seconds = seconds


class StoppedError(FusionError):
    """The thread that answers has ended, or is about to."""


class Request:
    """The rows of a request, which get their answers in one or more batches, until a time of the clock.

    `answered` becomes a list with an answer for each row, or the DataError by which it has none.
    """

    def __init__(self, rows: int, ask: Ask, until: float) -> None:
        self.answered: Future[list[Any]] = Future()
        self.answered.set_running_or_notify_cancel()  # nobody who waits for it may cancel it
        self.ask, self.until = ask, until
        self._answers: list[Any] = [None] * rows
        self._left = rows

    def settle(self, place: int, answer: Any) -> None:
        """Answer a row."""
        self._answers[place] = answer
        self._left -= 1
        if not self._left and not self.answered.done():
            self.answered.set_result(self._answers)

    def fail(self, error: Exception) -> None:
        """Answer none of the rows that are left."""
        if not self.answered.done():
            self.answered.set_exception(error)
