"""What losses over every two rows take, beside plain ones and those of open_clip and sentence-transformers.

    python benchmarks/losses.py [rows ...]

Forward and backward for two modalities of width 512 in fp32, for the vectors and the temperature. Memory is
the peak above what is held before, which the inputs are part of and gradients are not. On a CPU each figure
is of a process of its own, in turns, its seconds are those that it worked, and 32,768 rows take the plain
ones 16 GiB; with a GPU the sizes are 8,192 to 65,536, and what does not fit is left out. A warm-up is not
counted.
"""

import functools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from loss_ways import DEVICE, GPU, WAYS, WIDTH, step
from table import row
from torch import Tensor

SIZES = (8192, 16384, 32768, 65536) if GPU else (64, 128, 256, 512, 1024, 8192, 16384)
PEERS_AT = (8192, 16384)
GOALS = {8192: (1 / 10, 0.8), 32768: (1 / 40, 0.6)}  # of memory and time, beside plain
SMALL = 1024  # up to so many rows, ours may not be slower than plain losses that read the same
OFTEN = 8192  # up to so many rows a pair is measured three times


def measure(way: str, rows: int) -> list[float]:
    """Return the seconds, the mebibytes and the loss of one way."""
    torch.manual_seed(0)
    loss = WAYS[way]()

    def inputs(rows: int) -> list[Tensor]:
        drawn = (torch.randn(rows, WIDTH, device=DEVICE) for _ in range(2))
        return [F.normalize(part, dim=1).requires_grad_() for part in drawn]

    step(loss, *inputs(1100))
    given = inputs(rows)
    reset_peak()
    before = held()
    seconds = []
    for _ in range(max(1, min(200, 8192 * 4096 // rows**2))):
        began = clock()
        value = step(loss, *given)
        seconds.append(clock() - began)
    return [sorted(seconds)[len(seconds) // 2], (peak() - before) / 2**20, value]


def clock() -> float:
    """Return the seconds that the GPU has worked, after all that was asked of it, or this process."""
    return time.perf_counter() if GPU else time.process_time()


def reset_peak() -> None:
    if GPU:
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")


def held() -> int:
    return torch.cuda.memory_allocated() if GPU else status("VmRSS")


def peak() -> int:
    return torch.cuda.max_memory_allocated() if GPU else status("VmHWM")


def status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


@functools.cache
def once(way: str, rows: int) -> list[float] | None:
    """Return the figures of one way, measured once: on a CPU a second time takes minutes."""
    return figures(way, rows)


def figures(way: str, rows: int) -> list[float] | None:
    """Return the figures of one way, or None where they take more memory than there is."""
    if GPU:
        try:
            return measure(way, rows)
        except torch.OutOfMemoryError:
            return None
        finally:
            torch.cuda.empty_cache()
    pages = {"THP_MEM_ALLOC_ENABLE": "0" if " " in way else "1"}  # which only fusion asks for
    command = [sys.executable, __file__, "measure", way, str(rows)]
    done = subprocess.run(command, env=os.environ | pages, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        found: list[float] = json.loads(done.stdout.splitlines()[-1])
        return found
    if "OutOfMemoryError" in done.stderr or done.returncode == -9:
        return None
    sys.exit(done.stderr)


def compare(mine: str, other: str, rows: int, memory: float | None, seconds: float | None) -> None:
    rounds, measured = (3, figures) if GPU or rows <= OFTEN else (1, once)
    turns = [(measured(mine, rows), measured(other, rows)) for _ in range(rounds)]
    pairs = [(first, second) for first, second in turns if first and second]
    title = f"{mine}, {rows:,} rows, beside {other.removesuffix(' ' + mine)}"
    if not pairs:
        print(f"{title}: does not fit; ours: {turns[0][0]} (seconds, MiB, loss)", flush=True)
        return
    for first, second in pairs:
        if "one direction" not in other and abs(first[2] - second[2]) > 1e-3:
            sys.exit(f"{title}: losses {first[2]} and {second[2]}")
    columns = list(zip(*pairs, strict=True))
    row(f"time, {title}", *([found[0] for found in side] for side in columns), "s", seconds)
    if rows > SMALL:
        row(f"memory, {title}", *([found[1] for found in side] for side in columns), "MiB", memory)


def main(*sizes: int) -> None:
    print(f"{torch.get_num_threads()} threads" if not GPU else torch.cuda.get_device_name(), flush=True)
    for rows in sizes or SIZES:
        for name in ("contrastive", "sigmoid"):
            compare(name, f"plain {name}", rows, *GOALS.get(rows, (None, None)))
            if rows <= SMALL:
                compare(name, f"plain, with labels {name}", rows, None, None)
                compare(name, f"plain, all that ours reads {name}", rows, None, 1.0)
        for peer in WAYS if rows in PEERS_AT else ():
            if " " in peer and not peer.startswith("plain"):
                compare("sigmoid" if "SigLip" in peer else "contrastive", peer, rows, 1 / 3, 0.7)


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        print(json.dumps(measure(sys.argv[2], int(sys.argv[3]))))
    else:
        main(*(int(argument) for argument in sys.argv[1:]))
