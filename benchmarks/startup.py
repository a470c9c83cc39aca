"""How long the command line takes to answer, beside an empty Python: python benchmarks/startup.py [runs]."""

import subprocess
import sys
import time
from statistics import median

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "fusion --help": [sys.executable, "-m", "fusion", "--help"],
    "fusion plugins ls": [sys.executable, "-m", "fusion", "plugins", "ls"],
    "fusion recipes ls": [sys.executable, "-m", "fusion", "recipes", "ls"],
}


def seconds(command: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def main(runs: int = 11) -> None:
    rounds = [[seconds(command) for command in COMMANDS.values()] for _ in range(runs + 1)][1:]
    medians = [median(column) for column in zip(*rounds, strict=True)]
    for name, value in zip(COMMANDS, medians, strict=True):
        print(f"{name:20} {value:6.3f} s  {value / medians[0]:5.1f} x an empty Python")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
