"""MLflow: a database in the working folder, or a server."""

import os
import re
import time
from collections.abc import Mapping
from typing import Any

from fusion.logger import Followed, Logger
from fusion.loggers.known import known
from fusion.loggers.library import brought_by

WORDS = {"->": " to ", "@": " at ", "+": " and "}
"""What stands in metric keys, and what MLflow takes in its place."""

AT_ONCE = {"metrics": 1000, "params": 100}
LONGEST = 6000  # letters of a parameter


class MLflow(Logger):
    """Writes a run of MLflow to `uri`, to that of the environment (MLFLOW_TRACKING_URI), or ./mlflow.db.

    `experiment` is the recipe's name if it is not given. A resumed training goes on with the same run.
    """

    def __init__(self, *, experiment: str | None = None, uri: str | None = None) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        self._experiment, self._uri = experiment, uri
        with brought_by("track-mlflow"):
            import mlflow
        self._library: Any = mlflow

    def begin(self, training: Followed) -> None:
        self._client = self._library.MlflowClient(self._uri)
        self._run, new = known(training.folder, lambda: self._new(training))
        self._last = training.step
        if new:
            given = [(path, str(value)[:LONGEST]) for path, value in training.recipe.items()]
            self._send("params", [self._library.entities.Param(_name(path), value) for path, value in given])
        else:
            self._client.set_terminated(self._run, "RUNNING")

    def log(self, steps: Mapping[int, Mapping[str, float]]) -> None:
        metric, now = self._library.entities.Metric, int(1000 * time.time())
        self._send(
            "metrics",
            [
                metric(_name(name), value, now, step)
                for step, values in steps.items()
                for name, value in values.items()
            ],
        )
        self._last = max(steps, default=self._last)

    def end(self, metrics: Mapping[str, float] | None) -> None:
        if metrics is not None:
            self.log({self._last: metrics})
        self._client.set_terminated(self._run, "KILLED" if metrics is None else "FINISHED")

    def _new(self, training: Followed) -> str:
        name = self._experiment or training.recipe["name"]
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        return str(self._client.create_run(experiment, run_name=training.name).info.run_id)

    def _send(self, what: str, items: list[Any]) -> None:
        for first in range(0, len(items), AT_ONCE[what]):
            self._client.log_batch(self._run, **{what: items[first : first + AT_ONCE[what]]})


def _name(key: str) -> str:
    """Return a key in the letters that MLflow takes."""
    for mark, word in WORDS.items():
        key = key.replace(mark, word)
    return re.sub(r"[^\w\-. :/]", "_", key)
