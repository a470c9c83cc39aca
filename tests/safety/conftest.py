"""A payload that would leave a trace if anything ran it, and bounds of time and memory for every test."""

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SECONDS, MEMORY = 180, 700 * 2**10  # KiB


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.trace}",)


@pytest.fixture
def payload(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Payload]:
    """A payload; at the end of the test, it must not have run."""
    trace = tmp_path_factory.mktemp("canary") / "trace"
    yield Payload(trace)
    assert not trace.exists(), "a file that was only read has run code"


@pytest.fixture(autouse=True)
def _bounded(request: pytest.FixtureRequest) -> Iterator[None]:
    seconds = SECONDS * (10 if "slow" in request.keywords else 1)

    def late(*_: Any) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    former = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, former)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY
