"""Weights & Biases, offline unless asked otherwise."""

import os
from collections.abc import Mapping
from typing import Any, Literal
from uuid import uuid4

from fusion.logger import Followed, Logger
from fusion.loggers.known import known
from fusion.loggers.library import brought_by


class WandB(Logger):
    """Writes a run of Weights & Biases into the run's folder, and sends it only if the mode is "online".

    `mode` is that of the environment (WANDB_MODE), or "offline"; `wandb sync` sends an offline run later.
    `project` is the recipe's name if it is not given. A resumed training goes on with the same run: online in
    place, offline in a second file, which `wandb sync` adds to the first.
    """

    def __init__(
        self,
        *,
        project: str | None = None,
        entity: str | None = None,
        mode: Literal["offline", "online"] | None = None,
    ) -> None:
        self._project, self._entity = project, entity
        self._mode = mode or os.environ.get("WANDB_MODE") or "offline"
        if self._mode != "online":  # its reports of errors ask a server even then
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        with brought_by("track-wandb"):
            import wandb
        self._library: Any = wandb

    def begin(self, training: Followed) -> None:
        name, new = known(training.folder, lambda: uuid4().hex[:8])
        self._run = self._library.init(
            project=self._project or training.recipe["name"],
            entity=self._entity,
            name=training.name,
            id=name,
            resume=None if new or self._mode != "online" else "allow",
            mode=self._mode,
            dir=str(training.folder),
            config=dict(training.recipe),
            settings=self._library.Settings(console="off", quiet=True),
        )

    def log(self, steps: Mapping[int, Mapping[str, float]]) -> None:
        for step, values in steps.items():
            self._run.log(dict(values), step=step)

    def end(self, metrics: Mapping[str, float] | None) -> None:
        if metrics is not None:
            self._run.summary.update(dict(metrics))
        self._run.finish(exit_code=int(metrics is None))
