"""Trackio: a database on this machine."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from fusion.logger import Followed, Logger
from fusion.loggers.known import known
from fusion.loggers.library import brought_by


class Trackio(Logger):
    """Writes into Trackio's database on this machine; `trackio show` opens it.

    `project` is the recipe's name if it is not given. Only with a `space`, of Hugging Face, or where the
    environment has one (TRACKIO_SPACE_ID, TRACKIO_SERVER_URL), anything leaves the machine. A resumed
    training goes on with the same run.
    """

    def __init__(self, *, project: str | None = None, space: str | None = None) -> None:
        self._project, self._space = project, space
        with brought_by("track-trackio"):
            import trackio
        self._library: Any = trackio

    def begin(self, training: Followed) -> None:
        # runs are found by their name there, and other folders may have a run of this one
        name, new = known(training.folder, lambda: f"{training.name}-{uuid4().hex[:6]}")
        self._run = self._library.init(
            project=self._project or training.recipe["name"],
            name=name,
            space_id=self._space,
            config=dict(training.recipe),
            resume="never" if new else "allow",
            embed=False,
            auto_log_cpu=False,
            auto_log_gpu=False,
        )
        self._last = training.step

    def log(self, steps: Mapping[int, Mapping[str, float]]) -> None:
        for step, values in steps.items():
            self._run.log(dict(values), step=step)
            self._last = step

    def end(self, metrics: Mapping[str, float] | None) -> None:
        if metrics is not None:
            self._run.log(dict(metrics), step=self._last)
        self._library.finish()  # of the current run, which the end of the process would finish once more
