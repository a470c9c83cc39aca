"""Save and restore a training whose model is in shards."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fusion.errors import RunError
from fusion.training import shards
from fusion.training.checkpoint import SHARDS, Best, clear, optimizer_tensors, place
from fusion.training.gather import share_buffers
from fusion.training.journal import Journal
from fusion.training.saving import Saver


class ShardedSaver(Saver):
    """Writes and reads checkpoints with all ranks, each its own shards."""

    def __init__(self, hosts: Any, *given: Any) -> None:
        super().__init__(*given)
        self.hosts = hosts  # a group of all ranks that talks on the CPU

    def save(self, done: int, seconds: float, journal: Mapping[str, Any], best: Best) -> None:
        """Save the state after this many steps and seconds; all ranks call it."""
        share_buffers(self.model)
        state = {"seconds": seconds, **journal, **self.began_with}
        tensors = _named("model", self.model.state_dict())
        tensors |= _named("optimizer", optimizer_tensors(self.model, self.adamw.optimizer))
        shards.save(self.run.checkpoints, done, tensors, state, self.keep, best, self.hosts)

    def restore(self, journal: Journal) -> tuple[int, float]:
        """Load the newest whole checkpoint, of any number of ranks; return the steps and seconds it is after.

        All ranks call it. Raises RunError when the training began with other weights or rows than there are
        now, or when its checkpoints are not of shards.
        """
        if self.accelerator.is_main_process:
            clear(self.run.checkpoints)
        found, damaged = shards.latest(self.run.checkpoints, self.hosts)
        for message in damaged:
            self.progress.warn(f"{message}; taking the one before")
        if found is None:
            journal.rewind(0)
            return 0, 0.0
        if not list(found.glob(SHARDS)):
            raise RunError(
                f"{found} was saved without FSDP2; go on without it, or start anew in another --out"
            )
        tensors = _named("model", self.model.state_dict())
        parameters = dict(self.model.named_parameters())
        for name, kind in shards.kinds(found).items():
            if name.startswith("optimizer/"):
                tensors[name] = _room(parameters[_of(name)[0]], kind)
        state = shards.read(found, tensors, self.hosts)
        self.expect_same_beginning(state)
        for name, value in tensors.items():
            if name.startswith("optimizer/"):
                of, key = _of(name)
                self.adamw.optimizer.state[parameters[of]][key] = value
        journal.rewind(state["step"], state)
        return state["step"], state["seconds"]

    def put_back(self, step: int) -> None:
        """Give the model the weights of the checkpoint after this many steps; all ranks call it."""
        shards.read(place(self.run.checkpoints, step), _named("model", self.model.state_dict()), self.hosts)


def _named(part: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{part}/{name}": value for name, value in tensors.items()}


def _of(name: str) -> tuple[str, str]:
    """Return the parameter and the key of "optimizer/PARAMETER/KEY"."""
    parameter, _, key = name.removeprefix("optimizer/").rpartition("/")
    return parameter, key


def _room(parameter: nn.Parameter, kind: shards.Kind) -> Tensor:
    """Return a tensor for what Adam has of a parameter: in its shards, or a number of its own."""
    if kind.shape == tuple(parameter.shape):
        return torch.zeros_like(parameter, dtype=kind.dtype, requires_grad=False)
    return torch.zeros(kind.shape, dtype=kind.dtype, device=parameter.device)
