"""The table that every benchmark gives rows to; run it, and it runs them all and prints one table.

    python benchmarks/table.py [script ...]

A ratio is ours over the peer's, the median over pairs that were measured in turns, so below 1 is less time or
less memory than the peer needs.
"""

import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch

HERE = Path(__file__).parent
SCRIPTS = (
    *("startup", "loop", "trainers", "losses", "loss_ranks", "micro_batch", "cache", "embed", "lengths"),
    *("evaluation", "checkpoint", "fault", "encoders", "tuning", "prior", "merge", "quantise", "serve"),
)
HEAD = "| what | ours | peer | ratio | goal | |\n|---|--:|--:|--:|--:|---|"
LIBRARIES = ("torch", "accelerate", "transformers", "open_clip_torch", "sentence-transformers")


def in_turns(rounds: int, *measured: Callable[[], float]) -> list[list[float]]:
    """Return the figures of each function, called in turns; a first round is for warming up."""
    turns = [[function() for function in measured] for _ in range(rounds + 1)]
    return [list(column) for column in zip(*turns[1:], strict=True)]


def row(
    what: str, ours: Sequence[float], peer: Sequence[float], unit: str, goal: float | None = None
) -> None:
    """Print a row of pairs of figures: medians, the median ratio, and whether it is at most the goal."""
    ratio = median(first / second for first, second in zip(ours, peer, strict=True))
    said = "" if goal is None else "met" if ratio <= goal else "MISSED"
    bound = "" if goal is None else f"<= {goal:.3g}"
    figures = (f"{median(column):.3g} {unit}" for column in (ours, peer))
    print("|", " | ".join([what, *figures, f"{ratio:.3f}", bound, said]), "|", flush=True)


def machine() -> str:
    """Name what the figures were measured on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return f"{device}, {torch.get_num_threads()} threads, Python {platform.python_version()}, {versions}"


def main(*scripts: str) -> None:
    rows: list[str] = []
    for script in scripts or SCRIPTS:
        print(f"== {script}", flush=True)
        command = [sys.executable, str(HERE / f"{script}.py")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            for line in running.stdout:
                print(line, end="", flush=True)
                rows += [line.rstrip()] if line.startswith("| ") else []
        if running.returncode:
            sys.exit(f"{script} failed with exit code {running.returncode}")
    print(f"\n{machine()}\n\n{HEAD}", *rows, sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
