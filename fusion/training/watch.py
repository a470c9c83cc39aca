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

from fusion.data.loader import worker_killed
from fusion.errors import FusionError, ProcessError
from fusion.training.peers import connect

BEAT = 1.0
"""Seconds between two signs of life."""
SILENT = 30
"""Beats without one, as who listens counts them: a job that was halted and goes on has missed none."""
GRACE = 15.0
"""Seconds in which a process may end by itself, with its own error, and write what it writes."""
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
        self._killed = False  # who is lost, without a word
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
        if error is None:
            self._tell(DONE)
        elif isinstance(error, ProcessError):
            self._tell(LOST, str(error))
        else:
            plain = isinstance(error, FusionError | KeyboardInterrupt) and str(error)
            self._tell(FAILED, plain or repr(error))
        self._hear_until(lambda: not self._peers, 2 * GRACE)

    def why(self, error: RuntimeError | KeyboardInterrupt) -> str | None:
        """Return what `lost` says if the error may come of that, or nothing.

        A collective raises RuntimeError, perhaps before it is known who has gone. Where one is killed, a
        launcher interrupts the others; when all are interrupted, nobody is lost.
        """
        if isinstance(error, KeyboardInterrupt):
            return self.lost if self._killed else None
        limit = time.monotonic() + 2 * BEAT
        while self._peers and self.lost is None and time.monotonic() < limit:
            time.sleep(BEAT / 20)
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
        name = self._peers[peer]
        if kind != DONE and self.lost is None:
            self._killed = not reason
            told = f"{name} has ended: {reason}" if reason else f"{name} has ended without a word: {KILLED}"
            self.lost = reason if kind == LOST else told
        peer.close()
        del self._peers[peer]


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
        except (RuntimeError, KeyboardInterrupt) as error:
            failed = error
            lost = watch.why(error)
            known = worker_killed(error) if lost is None else ProcessError(lost)
            if known is not None:
                failed = known
                raise known from error
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
