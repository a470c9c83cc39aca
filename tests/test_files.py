"""A folder belongs to one process at a time, and one that has it is waited for."""

import time
from pathlib import Path
from threading import Event, Thread

import pytest

from fusion import files
from fusion.files import alone


def test_a_folder_that_is_taken_is_refused_until_it_is_left(tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(BlockingIOError), alone(tmp_path):
        pass
    with pytest.raises(ZeroDivisionError), alone(tmp_path):
        1 / 0  # noqa: B018
    with alone(tmp_path):
        pass


def test_who_has_a_folder_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits, entered = Event(), Event()
    sleep = time.sleep
    monkeypatch.setattr(files.time, "sleep", lambda seconds: waits.set() or sleep(seconds))

    def want() -> None:
        with alone(tmp_path, 300.0):
            entered.set()

    waiting = Thread(target=want)
    with alone(tmp_path):
        waiting.start()
        waits.wait()
        assert not entered.is_set()
    waiting.join()
    assert entered.is_set()
