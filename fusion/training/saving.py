"""Save what a training needs to go on, beside the training, and go on from it."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor

from fusion.errors import CheckpointError, RunError
from fusion.files import fsync
from fusion.model import Model
from fusion.run import Run
from fusion.training import checkpoint
from fusion.training.anchors import Anchors
from fusion.training.checkpoint import Best, Checkpoint
from fusion.training.journal import Journal
from fusion.training.progress import Progress
from fusion.training.snapshot import Snapshot
from fusion.transfer.initial import Start


def began_with(start: Start | None, anchors: Anchors, sizes: Mapping[str, int | None]) -> dict[str, Any]:
    """Return what has to be the same when a training is resumed: SHA-256 of weights, rows of each source."""
    init = None if start is None else start.origin["sha256"]
    return {"init": init, "prior": anchors.digest, "rows": dict(sizes)}


class Saver:
    """Writes the checkpoints of a training, the last `keep` of them, and finds the newest whole one.

    A thread writes them, one at a time, from a copy of the state; it is waited for when the saver is left.
    """

    def __init__(
        self,
        run: Run,
        keep: int,
        model: Model,
        adamw: Any,
        accelerator: Accelerator,
        progress: Progress,
        began_with: Mapping[str, Any],
    ) -> None:
        self.run, self.keep, self.began_with = run, keep, began_with
        self.model, self.adamw, self.accelerator, self.progress = model, adamw, accelerator, progress
        self._weights, self._moments = Snapshot(), Snapshot()
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[Path] | None = None
        self._told = False

    def __enter__(self) -> "Saver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()
        except CheckpointError as failed:
            if error is None:
                raise
            self.progress.warn(str(failed))  # what ended the training is the more important one
        finally:
            self._thread.shutdown()

    def save(self, done: int, seconds: float, journal: Mapping[str, Any], best: Best) -> None:
        """Copy the state after this many steps and seconds, and begin to write it; the main process calls it.

        `journal` is the state of the journal, `best` is that of `checkpoint.save`. Waits for the checkpoint
        before. Raises CheckpointError where that could not be written.
        """
        if self._writing is not None and not self._writing.done() and not self._told:
            self._told = True
            self.progress.warn(f"step {done} waits for the checkpoint before; raise train.checkpoint_every")
        self.wait()
        state: dict[str, Any] = {"seconds": seconds, **journal, **self.began_with}
        if self.accelerator.scaler is not None:
            state["scaler"] = self.accelerator.scaler.state_dict()
        weights = self._weights.take(self.model.state_dict())
        moments = self._moments.take(self._state())
        taken = Checkpoint(done, weights, moments, state)
        self._writing = self._thread.submit(self._write, taken, best)

    def check(self) -> None:
        """Raise CheckpointError if a checkpoint could not be written; waits for nothing."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Wait until the last checkpoint is there. Raises CheckpointError where it could not be written."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def restore(self, journal: Journal) -> tuple[int, float]:
        """Load the newest whole checkpoint; return the steps that are done and the seconds they took.

        All ranks call it. Raises RunError when the training began with other weights or rows than there are.
        """
        run, main = self.run, self.accelerator.is_main_process
        if any(run.checkpoints.glob(f"step-*/{checkpoint.SHARDS}")):
            raise RunError(f"{run.folder} was saved with FSDP2; launch with it to go on (--launch fsdp2)")
        if main:
            checkpoint.clear(run.checkpoints)
        found, damaged = checkpoint.latest(run.checkpoints) if main else (None, [])
        for message in damaged:
            self.progress.warn(f"{message}; taking the one before")
        if self.accelerator.num_processes > 1:
            chosen = [None if found is None else found.step]  # all ranks take what the main process takes
            broadcast_object_list(chosen)
            if found is None and chosen[0] is not None:
                found = checkpoint.load(checkpoint.place(run.checkpoints, chosen[0]))
        if found is None:
            journal.rewind(0)
            return 0, 0.0
        self.expect_same_beginning(found.state)
        self.model.load_state_dict(found.model)
        self._put_back(found.optimizer)
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(found.state["scaler"])
        journal.rewind(found.step, found.state)
        return found.step, found.state["seconds"]

    def put_back(self, step: int) -> None:
        """Give the model the weights of the checkpoint after this many steps; all ranks call it."""
        self.model.load_state_dict(checkpoint.load(checkpoint.place(self.run.checkpoints, step)).model)

    def expect_same_beginning(self, state: Mapping[str, Any]) -> None:
        """Raise RunError when the training began with other weights, or other rows, than there are now."""
        known, now = state.get("rows", {}), self.began_with["rows"]
        moved = [
            f"{name} had {known.get(name)} and has {count}"
            for name, count in now.items()
            if known.get(name) != count
        ]
        if moved:  # the order of the rows would be another one
            raise RunError(
                f"{self.run.folder} began with other rows ({', '.join(moved)}); put them back as they were, "
                "or start anew in another --out"
            )
        changed = [key for key, digest in self.began_with.items() if state.get(key) != digest]
        if changed:
            raise RunError(
                f"{self.run.folder} began with other weights than {' and '.join(changed)} give now; put them "
                "back as they were, or start anew in another --out"
            )

    def _state(self) -> dict[str, Tensor]:
        return checkpoint.optimizer_tensors(self.model, self.adamw.optimizer)

    def _put_back(self, tensors: Mapping[str, Tensor]) -> None:
        checkpoint.restore_optimizer(self.model, self.adamw.optimizer, tensors)

    def _write(self, taken: Checkpoint, best: Best) -> Path:
        self._weights.wait()
        self._moments.wait()
        for path in self.run.folder.glob("*.jsonl"):  # a resumed run goes on with what they tell of its steps
            fsync(path)
        return checkpoint.save(self.run.checkpoints, taken, self.keep, best)
