"""What it costs a training that a logger follows it, beside the journal's own lines: ten steps at a time."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stdout
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from table import in_turns, row

from fusion import Followed, Registry
from fusion.data import lines

STEPS, FLUSHES, ROUNDS = 10, 20, 9
VALUES = {"loss": 2.5, "loss/align": 2.0, "loss/digit": 0.5, "grad_norm": 0.25, "lr": 1e-3}
RECIPE = {"name": "benchmark", "train.lr": 1e-3, "train.steps": 1000}


def seconds(write: Callable[[dict[int, dict[str, float]]], None], steps: Iterator[int]) -> float:
    """Return the seconds that a step takes, of 200 steps with other numbers each."""
    flushes = [
        {
            step: {name: value / step for name, value in VALUES.items()}
            for step in (next(steps) for _ in range(STEPS))
        }
        for _ in range(FLUSHES)
    ]
    began = time.perf_counter()
    for flush in flushes:
        write(flush)
    return 1e3 * (time.perf_counter() - began) / (STEPS * FLUSHES)


def main() -> None:
    registry = Registry()
    with TemporaryDirectory() as folder, chdir(folder):
        os.environ.setdefault("TRACKIO_DIR", folder)
        journal = Path("metrics.jsonl")

        def jot(flush: dict[int, dict[str, float]]) -> None:
            lines.append(journal, [{"step": step, **values} for step, values in flush.items()])

        for name in registry.names("logger"):
            logger = registry.find("logger", name).component.resolve()()
            own = Path(folder) / name
            own.mkdir()
            steps, others = count(1), count(1)
            with redirect_stdout(None):
                logger.begin(Followed("run", own, RECIPE, 0))
                figures = in_turns(ROUNDS, lambda: seconds(logger.log, steps), lambda: seconds(jot, others))  # noqa: B023
                logger.end({"accuracy": 0.5})
            row(f"a step for {name}, beside its line in metrics.jsonl", *figures, "ms")


if __name__ == "__main__":
    main()
