"""What a logger is: it follows a training, and takes down its numbers beside the run's own journal."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Followed(NamedTuple):
    """The training that a logger is to follow."""

    name: str  # of the run's folder
    folder: Path  # the logger's own, in the run: what it leaves there is there again after a stop
    recipe: Mapping[str, Any]  # complete, by dotted path
    step: int  # after which the training goes on; 0 for a new one


class Logger(ABC):
    """Follows one training. Options are the keyword-only parameters of `__init__`, which imports its library.

    It is called on the main process alone, `begin` once and before the others. What `begin` raises ends the
    training before its first step; what the others raise is counted and told, and the training goes on.
    Without being asked it reaches for no network.
    """

    @abstractmethod
    def begin(self, training: Followed) -> None:
        """Begin to follow a training, or go on: steps after `training.step` may come a second time."""

    @abstractmethod
    def log(self, steps: Mapping[int, Mapping[str, float]]) -> None:
        """Take down the steps since the last call, in order: losses, gradient norm, learning rate by name.

        The numbers of a step that was left out may be NaN or infinite.
        """

    @abstractmethod
    def end(self, metrics: Mapping[str, float] | None) -> None:
        """Take down the numbers of metrics.json and let go; None where the training has stopped before."""
