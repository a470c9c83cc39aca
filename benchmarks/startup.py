"""How long the command line takes to answer, beside an empty Python: python benchmarks/startup.py [runs]."""

import subprocess
import sys
import time

from table import row

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
    empty, *commands = zip(*rounds, strict=True)
    for name, column in zip(list(COMMANDS)[1:], commands, strict=True):
        row(f"{name}, beside an empty Python", column, empty, "s")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
