"""Hand the numbers of a training to its loggers, none of which can end it."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from types import TracebackType
from typing import Any

from accelerate import Accelerator

from fusion.build import build_loggers
from fusion.errors import TrainingError
from fusion.logger import Followed, Logger
from fusion.recipe.differences import flat
from fusion.recipe.schema import Recipe
from fusion.registry import Registry
from fusion.run import Run
from fusion.training.agree import agreed
from fusion.training.progress import Progress

LONGEST = 64  # calls for which a logger that fails is left alone, at most


class _Follower:
    """A logger, and what it has missed."""

    def __init__(self, logger: Logger, warn: Callable[[str], None]) -> None:
        self.logger, self.warn = logger, warn
        self.missed, self.failures, self.rest = 0, 0, 0


class Followers:
    """The loggers that a recipe names, on the main process; the end of the block lets go of them.

    One that fails is told once, and left alone for 1, 2, 4 ... calls, since failing may take its time.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._built: dict[str, Logger] = {}
        self._begun: dict[str, _Follower] = {}

    def build(self, recipe: Recipe, accelerator: Accelerator) -> None:
        """Build the loggers. Raises on all ranks what building one raises, such as that it has no library."""
        if recipe.train.track:
            agreed(lambda: self._built.update(build_loggers(recipe, self.registry)), accelerator)

    def begin(self, run: Run, recipe: Recipe, step: int, accelerator: Accelerator, shown: Progress) -> None:
        """Let the loggers begin, or go on after a step. Raises TrainingError on all ranks if one cannot."""
        if recipe.train.track:
            agreed(lambda: self._begin(run, recipe, step, shown.warn), accelerator)

    def log(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Hand on what was just written into metrics.jsonl, to plugins that listen and to loggers."""
        for line in lines:
            losses = {key: value for key, value in line.items() if key.startswith("loss")}
            self.registry.notify("fusion_step_end", step=line["step"], losses=losses)
        steps = {line["step"]: _numbers({**line, "step": None}) for line in lines}
        for name, one in self._begun.items():
            if one.rest > 0:
                one.rest -= 1
                one.missed += len(steps)
                continue
            with self._held(name, one, len(steps)):
                one.logger.log(steps)
                one.failures = 0

    def end(self, run: Run) -> None:
        """Hand on what was measured at the end, and let go."""
        if self._begun:
            self._end(_numbers(run.metrics))

    def __enter__(self) -> "Followers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(None)

    def _begin(self, run: Run, recipe: Recipe, step: int, warn: Callable[[str], None]) -> None:
        for name, logger in self._built.items():
            folder = run.folder / "track" / name
            folder.mkdir(parents=True, exist_ok=True)
            told = flat(recipe.model_dump(mode="json", exclude={"study"}))
            try:
                with redirect_stdout(sys.stderr):  # what a library prints is no result
                    logger.begin(Followed(run.folder.resolve().name, folder, told, step))
            except Exception as error:
                raise TrainingError(
                    f"the logger {name} cannot begin: {error!r}; mend that, or go on without it: "
                    f"--resume --out {run.folder} train.track=[]"
                ) from error
            self._begun[name] = _Follower(logger, warn)

    def _end(self, metrics: Mapping[str, float] | None) -> None:
        for name, one in self._begun.items():
            with self._held(name, one, 0):
                one.logger.end(metrics)
            if one.missed:
                one.warn(f"the logger {name} has missed {one.missed} steps; they are in metrics.jsonl")
        self._begun = {}

    @contextmanager
    def _held(self, name: str, one: _Follower, steps: int) -> Iterator[None]:
        try:
            with redirect_stdout(sys.stderr):
                yield
        except Exception as error:  # a logger must not end a training of days
            one.missed += steps
            one.rest = min(2**one.failures, LONGEST)
            one.failures += 1
            if one.failures == 1 or not steps:
                one.warn(f"the logger {name} fails: {error!r}; what it misses is in metrics.jsonl")


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
