"""Save what a training needs to go on, and go on from it."""

from collections.abc import Mapping
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from fusion.errors import RunError
from fusion.model import Model
from fusion.run import Run
from fusion.training import checkpoint
from fusion.training.anchors import Anchors
from fusion.training.checkpoint import Checkpoint
from fusion.training.journal import Journal
from fusion.transfer.initial import Start

Digests = dict[str, str | None]


def began_with(start: Start | None, anchors: Anchors) -> Digests:
    """Return the SHA-256 of what a training reads once more when it is resumed."""
    return {"init": None if start is None else start.origin["sha256"], "prior": anchors.digest}


class Saver:
    """Writes the checkpoints of a training, the last `keep` of them, and finds the newest whole one."""

    def __init__(
        self,
        run: Run,
        keep: int,
        model: Model,
        adamw: Any,
        accelerator: Accelerator,
        journal: Journal,
        began_with: Digests,
    ) -> None:
        self.run, self.keep, self.began_with = run, keep, began_with
        self.model, self.adamw, self.accelerator, self.journal = model, adamw, accelerator, journal

    def save(self, done: int, seconds: float) -> None:
        """Save the state after this many steps and seconds; the main process calls it."""
        state: dict[str, Any] = {
            "seconds": seconds,
            "presence": dict(self.journal.presence),
            **self.began_with,
        }
        if self.accelerator.scaler is not None:
            state["scaler"] = self.accelerator.scaler.state_dict()
        tensors = checkpoint.optimizer_tensors(self.model, self.adamw.optimizer)
        checkpoint.save(
            self.run.checkpoints, Checkpoint(done, self.model.state_dict(), tensors, state), self.keep
        )

    def restore(self) -> tuple[int, float]:
        """Load the newest whole checkpoint; return the steps that are done and the seconds they took.

        All ranks call it. Raises RunError when the training began with other weights than there are now.
        """
        run, main = self.run, self.accelerator.is_main_process
        if any(run.checkpoints.glob(f"step-*/{checkpoint.SHARDS}")):
            raise RunError(f"{run.folder} was saved with FSDP2; launch with it to go on (--launch fsdp2)")
        found, damaged = checkpoint.latest(run.checkpoints) if main else (None, [])
        for message in damaged:
            self.journal.progress.warn(f"{message}; taking the one before")
        if self.accelerator.num_processes > 1:
            chosen = [None if found is None else found.step]  # all ranks take what the main process takes
            broadcast_object_list(chosen)
            if found is None and chosen[0] is not None:
                found = checkpoint.load(checkpoint.place(run.checkpoints, chosen[0]))
        if found is None:
            self.journal.rewind(0)
            return 0, 0.0
        self.expect_same_beginning(found.state)
        self.model.load_state_dict(found.model)
        checkpoint.restore_optimizer(self.model, self.adamw.optimizer, found.optimizer)
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(found.state["scaler"])
        self.journal.presence.update(found.state["presence"])
        self.journal.rewind(found.step)
        return found.step, found.state["seconds"]

    def expect_same_beginning(self, state: Mapping[str, Any]) -> None:
        """Raise RunError when the training began with other weights than there are now."""
        changed = [key for key, digest in self.began_with.items() if state.get(key) != digest]
        if changed:
            raise RunError(
                f"{self.run.folder} began with other weights than {' and '.join(changed)} give now; put them "
                "back as they were, or start anew in another --out"
            )
