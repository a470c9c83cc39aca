"""Let Ctrl-C and SIGTERM end a training: between two steps with a checkpoint, elsewhere at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType

from fusion.errors import Stopped
from fusion.training.agree import Agreement


class Interrupt:
    """While entered, a signal ends what runs, in words that say how to go on.

    Until `folder` says which run can go on, a signal does what it did before. Within `between_steps` the
    first one is only remembered. A second one interrupts at once.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.requested = 0  # the number of the signal
        self._patient = False

    def __enter__(self) -> "Interrupt":
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def between_steps(self, ranks: int) -> Iterator[Agreement]:
        """Leave it to the steps to end: at each, all ranks give `requested` and hear whether to stop."""
        agreement = Agreement(ranks)
        self._patient = True
        try:
            yield agreement
        finally:
            self._patient = False
            agreement.close()
        if self.requested:
            raise self.ended(self.requested, "stopped after the last step")

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Between steps, let the first signal end what is no step and what a checkpoint need not wait for."""
        self._patient = False
        try:
            yield
        finally:
            self._patient = True

    def ended(self, number: int, what: str) -> KeyboardInterrupt:
        """Return what to raise for a signal: `Stopped` for SIGTERM."""
        message = f"{what}; go on with --resume --out {self.folder}"
        return Stopped(message) if number == signal.SIGTERM else KeyboardInterrupt(message)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.folder is None:
            signal.signal(number, self._before[signal.Signals(number)])
            signal.raise_signal(number)
            return
        again, self.requested = self.requested, number
        if again:
            raise KeyboardInterrupt
        if not self._patient:
            raise self.ended(number, "stopped outside of the steps")
