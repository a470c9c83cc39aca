"""A model that is whole on every process: what `Sharded` is not."""

from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from fusion.batch import Batch
from fusion.losses import Losses, Rows
from fusion.model import Model
from fusion.recipe.schema import Recipe
from fusion.training.reduce import average_gradients
from fusion.training.saving import Saver


class Whole:
    """A model as Accelerate has wrapped it: DistributedDataParallel averages its gradients over the ranks."""

    all_save = False  # the first process does

    def __init__(self, model: Model, recipe: Recipe, accelerator: Accelerator) -> None:
        self.model, self.accelerator = model, accelerator
        self.prepared = accelerator.prepare(model)

    def __call__(self, batch: Batch, gather: Callable[[Rows], Rows] | None) -> Losses:
        losses: Losses = self.prepared(batch, gather)
        return losses

    def complete(self, batch: Batch) -> Batch:
        """Return the batch, not yet on the device, as the model takes it."""
        return batch

    def optimizer(self, adamw: torch.optim.AdamW) -> Any:
        """Return the optimiser as Accelerate prepares it."""
        return self.accelerator.prepare(adamw)

    def average(self) -> None:
        """Average the gradients of all ranks where the model was called without the wrapper."""
        average_gradients(self.model.parameters())

    def clip(self, limit: float | None) -> Tensor:
        """Scale all gradients to a norm of at most `limit`, if there is one; return that before."""
        if self.accelerator.scaler is not None:
            self.accelerator.unscale_gradients()
        # Accelerate's own looks for installed packages in every step
        return nn.utils.clip_grad_norm_(self.model.parameters(), limit or float("inf"))

    def saver(self, *given: Any) -> Saver:
        """Return what writes checkpoints, given all that `Saver` is given."""
        return Saver(*given)

    def gathered(self) -> Model:
        """Return the model with whole weights."""
        return self.model
