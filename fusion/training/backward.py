"""Compute the losses of a batch, and the gradient of every parameter."""

from typing import Any

import torch
from accelerate import Accelerator

from fusion.batch import Batch
from fusion.errors import TrainingError
from fusion.model import Losses
from fusion.recipe import Train
from fusion.training.gather import gather


def backward(prepared: Any, batch: Batch, train: Train, accelerator: Accelerator) -> Losses:
    """Return the losses of the rows of all ranks and add their gradients to the parameters.

    `prepared` is the model as Accelerate has wrapped it, `batch` holds the rows of this rank. Raises
    TrainingError where they do not fit into the device's memory.
    """
    ranks = accelerator.num_processes
    try:
        losses: Losses = prepared(batch, gather if ranks > 1 else None)
        accelerator.backward(losses.total)
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"{train.batch // ranks} rows per process do not fit into the device's memory; lower "
            f"train.batch ({train.batch}), use more processes, or train.precision bf16 ({error})"
        ) from error
    return losses
