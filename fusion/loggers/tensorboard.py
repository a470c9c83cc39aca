"""Event files for TensorBoard, in the run."""

from collections.abc import Mapping
from typing import Any

from fusion.logger import Followed, Logger
from fusion.loggers.library import brought_by
from fusion.recipe.text import dump


class TensorBoard(Logger):
    """Writes event files into the run's folder; `tensorboard --logdir runs` shows those of all runs."""

    def __init__(self) -> None:
        with brought_by("track-tensorboard"):
            import torch.utils.tensorboard as tensorboard
        self._library: Any = tensorboard

    def begin(self, training: Followed) -> None:
        # steps that are about to come a second time are not shown twice
        purge = training.step + 1 if any(training.folder.iterdir()) else None
        self._writer = self._library.SummaryWriter(str(training.folder), purge_step=purge)
        self._recipe = training.recipe
        self._writer.add_text("recipe", f"```\n{dump(dict(training.recipe))}```")
        self._last = training.step

    def log(self, steps: Mapping[int, Mapping[str, float]]) -> None:
        for step, values in steps.items():
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
            self._last = step
        self._writer.flush()

    def end(self, metrics: Mapping[str, float] | None) -> None:
        if metrics is not None:
            plain = {
                path: value if isinstance(value, bool | int | float | str) else str(value)
                for path, value in self._recipe.items()
            }
            self._writer.add_hparams(plain, dict(metrics), run_name=".", global_step=self._last)
        self._writer.close()
