"""Every error a user can cause: what was given, what is allowed, what to do."""

import difflib
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class FusionError(Exception):
    """Root of all errors that are answered with one message and exit code 1."""


class PluginError(FusionError):
    """A plugin or one of its components is missing, faulty or breaks its contract."""


class DataError(FusionError):
    """A row or a source cannot be read."""


class RunError(FusionError):
    """A run folder is missing, damaged, taken or does not fit."""


class CheckpointError(RunError):
    """A checkpoint cannot be written, or what it holds is not what was written."""


class TrainingError(FusionError):
    """Training cannot start or go on."""


class ProcessError(FusionError):
    """Another process of the job has ended."""


class Stopped(KeyboardInterrupt):
    """SIGTERM ended a training that can go on: it is no failure, and the exit code is 0."""


class Problem(NamedTuple):
    """One thing wrong in a recipe: its dotted path, and its line where there is one."""

    path: str
    message: str
    line: int | None = None


class RecipeError(FusionError):
    """All that is wrong with a recipe, at once."""

    def __init__(self, problems: Sequence[Problem], origin: str = "recipe") -> None:
        self.problems = tuple(problems)
        self.origin = origin
        super().__init__("\n".join(self._line(problem) for problem in self.problems))

    def _line(self, problem: Problem) -> str:
        place = self.origin if problem.line is None else f"{self.origin}:{problem.line}"
        return ": ".join(part for part in (place, problem.path, problem.message) if part)


def unknown(what: str, given: str, known: Iterable[str]) -> str:
    """Say that a name is unknown, which one was probably meant, and which ones there are."""
    names = sorted(known)
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.6)
    meant = f"; did you mean {close[0]!r}?" if close else ";"
    return f"unknown {what} {given!r}{meant} known: {', '.join(names) or 'none'}"
