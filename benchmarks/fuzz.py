"""Give broken inputs to everything that opens what others wrote: `fuzz.py N [SEED]`.

Real files with flipped bits, cuts, splices and changed lengths; recipes, manifests and rows of a random tree.
Each has to be read or refused by an error of fusion: no other error, no warning, no crash, at most 5 s of the
processor, and 200 MB that are not given back. Input number i is a function of (SEED, i). Workers take the
inputs, so that one that crashes or hangs is found; each of these is kept in the folder fuzz-failures.
"""

import contextlib
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from fuzz_seeds import SHARES, Seeds

SECONDS, GROWTH = 5.0, 200 * 2**20
WORKERS = 2


def work(seed: int, start: int, stop: int, step: int) -> None:
    """Open every `step`-th input; tell its number before, and what came of it after."""
    import psutil

    from fusion import FusionError

    told = os.fdopen(os.dup(1), "w", buffering=1)
    os.environ |= {"HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "FUSION_CACHE": tempfile.mkdtemp()}
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HF_DATASETS_CACHE"] = f"{scratch}/datasets"
        with silent():
            seeds = Seeds(Path(scratch))
        process = psutil.Process()
        for number in range(start, stop, step):
            kind, content, opened = seeds.input(Random(f"{seed} {number}"))
            before, clock = process.memory_info().rss, time.process_time()
            print(json.dumps({"begin": number, "kind": kind}), file=told)
            outcome = "read"
            try:
                with warnings.catch_warnings(), silent():
                    warnings.simplefilter("error")
                    opened()
            except FusionError:
                outcome = "refused"
            except BaseException as error:
                place = traceback.extract_tb(error.__traceback__)[-1]
                outcome = f"{type(error).__name__} in {place.filename}:{place.lineno}: {error}"
            seconds, grown = time.process_time() - clock, process.memory_info().rss - before
            if grown > GROWTH:
                gc.collect()
                grown = process.memory_info().rss - before
            if outcome in ("read", "refused") and seconds > SECONDS:
                outcome = f"took {seconds:.1f} s"
            if outcome in ("read", "refused") and grown > GROWTH:
                outcome = f"kept {grown / 2**20:.0f} MB"
            if number % 500 < step:
                shutil.rmtree(f"{scratch}/datasets", ignore_errors=True)
            print(json.dumps({"end": number, "outcome": outcome[:300], "seconds": seconds}), file=told)
            if outcome not in ("read", "refused"):
                keep(number, kind, content)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Drop what libraries print about broken files, also from C."""
    kept = [os.dup(stream) for stream in (1, 2)]
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream in (1, 2):
            os.dup2(nothing, stream)
        yield
    finally:
        for stream, former in zip((1, 2), kept, strict=True):
            os.dup2(former, stream)
            os.close(former)
        os.close(nothing)


def keep(number: int, kind: str, content: Any) -> None:
    folder = Path("fuzz-failures")
    folder.mkdir(exist_ok=True)
    raw = content[1] if isinstance(content, tuple) else content
    (folder / f"{number}-{kind}").write_bytes(raw if isinstance(raw, bytes) else repr(raw).encode())


def watch(seed: int, start: int, count: int, step: int, counts: Counter[str], failed: list[str]) -> None:
    """Start a worker for its share, and another one behind an input that ended or stopped it."""
    import threading

    import psutil

    while start < count:
        command = [sys.executable, __file__, "--work", *map(str, (seed, start, count, step))]
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        at: dict[str, Any] = {"number": None, "kind": "", "cpu": 0.0}

        def guard(worker: subprocess.Popen[str] = worker, at: dict[str, Any] = at) -> None:
            while worker.poll() is None:
                time.sleep(1)
                with contextlib.suppress(psutil.Error):
                    used = sum(psutil.Process(worker.pid).cpu_times()[:2])
                    if at["number"] is None or at["number"] != at.get("seen"):
                        at["seen"], at["cpu"], at["since"] = at["number"], used, time.monotonic()
                    elif used - at["cpu"] > 2 * SECONDS or time.monotonic() - at["since"] > 120:
                        at["hung"] = True
                        worker.kill()

        threading.Thread(target=guard, daemon=True).start()
        assert worker.stdout is not None
        for line in worker.stdout:
            told = json.loads(line)
            if "begin" in told:
                at["number"], at["kind"] = told["begin"], told["kind"]
            else:
                plain = told["outcome"] in ("read", "refused")
                counts[f"{at['kind']} {told['outcome'] if plain else 'FAILED'}"] += 1
                if not plain:
                    failed.append(f"{told['end']} ({at['kind']}): {told['outcome']}")
                start, at["number"] = told["end"] + step, None
        if worker.wait() != 0:
            why = "hung" if at.get("hung") else f"ended the process ({worker.returncode})"
            failed.append(f"{at['number']} ({at['kind']}): {why}")
            print(failed[-1], file=sys.stderr, flush=True)
            if at["number"] is None:
                return
            counts[f"{at['kind']} FAILED"] += 1
            start = at["number"] + step


def main(count: int, seed: int = 0) -> int:
    import threading

    counts: Counter[str] = Counter()
    failed: list[str] = []
    begin = time.monotonic()
    workers = [
        threading.Thread(target=watch, args=(seed, first, count, WORKERS, counts, failed))
        for first in range(WORKERS)
    ]
    for thread in workers:
        thread.start()
    for thread in workers:
        while thread.is_alive():
            thread.join(60)
            print(f"{sum(counts.values()):,} of {count:,}, {len(failed)} failed", file=sys.stderr, flush=True)
    for kind in SHARES:
        told = {name: counts[f"{kind} {name}"] for name in ("read", "refused", "FAILED")}
        print(f"{kind:10}", *(f"{name} {number:6,}" for name, number in told.items()), sep="  ")
    print(f"{sum(counts.values()):,} inputs in {time.monotonic() - begin:.0f} s; failed: {len(failed)}")
    print(*failed, sep="\n")
    return 1 if failed or sum(counts.values()) < count else 0


if __name__ == "__main__":
    if sys.argv[1] == "--work":
        work(*map(int, sys.argv[2:]))
    else:
        sys.exit(main(*map(int, sys.argv[1:3])))
