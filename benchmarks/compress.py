"""How long a smaller run takes to answer, beside the run that it was made of, from raw rows on one thread.

    python benchmarks/compress.py RUN SMALLER [SCRIPT.py]

The time is that of the thread, so that what else the machine does is not counted. SCRIPT offers rows of RUN.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from table import HEAD, in_turns, machine, row

from fusion import Predictor, Registry, Row, load
from fusion.recipe.file import run_script
from fusion.shrink.speed import ROWS, rows_to_try

ROUNDS = 60


def timed(model: Predictor, rows: Sequence[Row]) -> Callable[[], float]:
    def once() -> float:
        began = time.thread_time()
        model.predict(rows)
        return (time.thread_time() - began) * 1000

    return once


def main(run: str, smaller: str, script: str | None = None) -> None:
    torch.set_num_threads(1)
    registry = Registry()
    if script is not None:
        run_script(Path(script), registry)
    before, after = load(run, "cpu", registry), load(smaller, "cpu", registry)
    rows = rows_to_try(before.recipe, before, registry)
    print(f"{machine()}\n\n{HEAD}")
    for name, some in ("one row", [max(rows, key=len)]), (f"{ROWS} rows", (rows * ROWS)[:ROWS]):
        ours, peer = in_turns(ROUNDS, timed(after, some), timed(before, some))
        row(f"{smaller}, {name}", ours, peer, "ms", 1.0)


if __name__ == "__main__":
    main(*sys.argv[1:])
