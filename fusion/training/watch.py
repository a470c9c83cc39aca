"""Notice that another process of a job has gone, whatever this one waits for, and end with the reason.

A process that dies closes its sockets, which is noticed at once; a machine that dies falls silent.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import wraps
from multiprocessing.connection import Connection, wait
from threading import Event, Thread
from typing import ParamSpec, TypeVar, cast

from accelerate import Accelerator

from fusion.errors import FusionError, ProcessError
from fusion.training.peers import connect

BEAT = 1.0
"""Seconds between two signs of life."""
SILENT = 40
"""Beats without one, as who listens counts them: a job that was halted and goes on has missed none."""
GRACE = 5.0
"""Seconds in which a process may end by itself, as when all meet the same error, before it is ended."""
KILLED = "it was killed, or its machine has failed; go on with --resume"
ALIVE, DONE, FAILED, LOST = "alive", "done", "failed", "lost"

P = ParamSpec("P")
T = TypeVar("T")


class Watch:
    """Connects the first process with each of the others. A thread speaks and hears: who computes is alive.

    `lost` says which process has gone, and why if it has told. Who hears that another one ends closes the
    connection, by which that one knows that it was heard.
    """

    def __init__(self) -> None:
        self.lost: str | None = None
        self.rank = 0
        self._peers: dict[Connection, str] = {}  # and what they are called
        self._missed: dict[Connection, int] = {}
        self._stop = Event()
        self._thread = Thread(target=self._listen, daemon=True, name="watch")

    def begin(self, accelerator: Accelerator) -> None:
        """Connect the processes and listen from now on; each calls it."""
        self.rank, ranks = accelerator.process_index, accelerator.num_processes
        if ranks == 1 or self._thread.ident is not None:
            return
        self._peers = connect(self.rank, ranks)
        self._missed = dict.fromkeys(self._peers, 0)
        self._thread.start()

    def end(self, error: BaseException | None) -> None:
        """Tell the others that this process has done its work, or why it has failed."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        if error is None or (isinstance(error, KeyboardInterrupt) and error.args):
            self._tell(DONE)  # all stop together, and the first process may have a checkpoint to write
        elif isinstance(error, ProcessError):
            self._tell(LOST, str(error))
        else:
            self._tell(FAILED, str(error) if isinstance(error, FusionError) else repr(error))
        self._hear_until(lambda: not self._peers, 2 * GRACE)

    def wait(self) -> str | None:
        """Return what `lost` says within a moment, which a failed communication may have been faster than."""
        if self._thread.ident is not None and self.lost is None:
            self._thread.join(2 * BEAT)
        return self.lost

    def _listen(self) -> None:
        while self._peers and self.lost is None and not self._stop.is_set():
            self._tell(ALIVE)
            self._hear_until(lambda: self.lost is not None or self._stop.is_set(), BEAT)
            for peer, name in self._peers.items():
                self._missed[peer] += 1
                if self._missed[peer] > SILENT:
                    self.lost = f"{name} has not been heard of for {SILENT * BEAT:.0f} s; go on with --resume"
        if self.lost is None:
            return
        self._tell(LOST, self.lost)
        if not self._stop.wait(GRACE):
            print(f"error (process {self.rank}): {self.lost}", file=sys.stderr, flush=True)
            os._exit(1)  # the main thread may wait for ever

    def _tell(self, kind: str, reason: str = "") -> None:
        for peer in self._peers:
            with suppress(OSError):  # of one that has gone, which is heard as well
                peer.send_bytes(json.dumps([kind, reason]).encode())

    def _hear_until(self, enough: Callable[[], bool], seconds: float) -> None:
        limit = time.monotonic() + seconds
        while self._peers and time.monotonic() < limit and not enough():
            for peer in cast(list[Connection], wait(list(self._peers), BEAT / 10)):
                self._hear(peer)

    def _hear(self, peer: Connection) -> None:
        try:
            kind, reason = json.loads(peer.recv_bytes())
        except (EOFError, OSError):
            kind, reason = FAILED, ""
        if kind == ALIVE:
            self._missed[peer] = 0
            return
        peer.close()
        name = self._peers.pop(peer)
        if kind != DONE and self.lost is None:
            told = f"{name} has ended: {reason}" if reason else f"{name} has ended without a word: {KILLED}"
            self.lost = reason if kind == LOST else told


_open: ContextVar[Watch | None] = ContextVar("watch", default=None)


def together(function: Callable[P, T]) -> Callable[P, T]:
    """Have all processes end that run a function when one of them fails in it. Raises ProcessError then."""

    @wraps(function)
    def watched(*args: P.args, **kwargs: P.kwargs) -> T:
        if _open.get() is not None:
            return function(*args, **kwargs)
        watch = Watch()
        token = _open.set(watch)
        failed: BaseException | None = None
        try:
            return function(*args, **kwargs)
        except RuntimeError as error:  # as a collective raises it, when another process has gone
            failed = error
            lost = watch.wait()
            if lost is not None:
                failed = ProcessError(lost)
                raise failed from error
            raise
        except BaseException as error:
            failed = error
            raise
        finally:
            _open.reset(token)
            watch.end(failed)

    return watched


def begin(accelerator: Accelerator) -> None:
    """Let the processes watch each other, where a function is run `together`."""
    watch = _open.get()
    if watch is not None:
        watch.begin(accelerator)
