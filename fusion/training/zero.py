"""ZeRO-1 (Rajbhandari et al. 2020), by DeepSpeed: Adam's state in parts, weights and gradients whole."""

import os
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor

from fusion.batch import Batch
from fusion.errors import TrainingError
from fusion.losses import Losses, Rows
from fusion.model import Model
from fusion.recipe.schema import Recipe
from fusion.training.divided import Divided, DividedSaver
from fusion.training.gather import share_buffers
from fusion.training.reduce import BUCKET, clip, complete

COMPILED = "deepspeed_shm_comm"
"""What DeepSpeed would compile to talk between processes of a CPU; gloo does."""


class Zero:
    """A model that is whole on each rank, of whose optimiser each rank has a part.

    DeepSpeed averages the gradients, gives each rank its part of them, and joins the weights after a step.
    Raises TrainingError for what does not go with it.
    """

    all_save = True  # each has a part of the optimiser's state

    def __init__(self, model: Model, recipe: Recipe, accelerator: Accelerator) -> None:
        _expect_divisible(model, recipe)
        self.model, self.accelerator = model, accelerator
        self.hosts = cast(Any, dist.new_group(backend="gloo"))  # what is said here waits for no device
        model.to(accelerator.device)
        for part in (*model.parameters(), *model.buffers()):  # whatever drew them, they are of one model
            dist.broadcast(part.data, 0)

    def __call__(self, batch: Batch, gather: Callable[[Rows], Rows] | None) -> Losses:
        share_buffers(self.model)
        with self.accelerator.autocast():
            losses: Losses = self.model(batch, gather)
        return losses

    def complete(self, batch: Batch) -> Batch:
        """Return the batch, not yet on the device, as the model takes it."""
        return batch

    def average(self) -> None:
        """Leave the gradients as they are: `clip` averages them."""

    def optimizer(self, adamw: torch.optim.AdamW) -> Divided:
        """Return the optimiser in parts, in the place of what Accelerate prepares."""
        self.divided = Divided(adamw, lambda flat: _zero(flat, self.model, self.accelerator.device))
        return self.divided

    def clip(self, limit: float | None) -> Tensor:
        """Average the gradients, scale them to a norm of at most `limit`, if any; return that before."""
        complete(self.model.parameters(), self.hosts)
        return clip(self.divided.reduced(), [], limit, self.accelerator.device)

    def saver(self, *given: Any) -> DividedSaver:
        """Return what writes checkpoints, given all that `Saver` is given."""
        return DividedSaver(*given)

    def gathered(self) -> Model:
        """Return the model with whole weights."""
        return self.model


def _zero(flat: Any, model: Model, device: torch.device) -> Any:
    """Return DeepSpeed's optimiser around one that it may flatten."""
    os.environ.setdefault("DS_ACCELERATOR", device.type)  # it would look for one, and tell of it
    import_module("deepspeed.utils").logger.setLevel("WARNING")
    import_module("deepspeed.ops").__compatible_ops__[COMPILED] = False
    import_module("deepspeed.comm").init_distributed(verbose=False)  # it takes the group that is there
    warnings.filterwarnings("ignore", "`torch.distributed.all_gather_into_tensor` is deprecated")
    made = import_module("deepspeed.runtime.zero.stage_1_and_2").DeepSpeedZeroOptimizer
    return made(
        flat,
        {parameter: name for name, parameter in model.named_parameters()},
        import_module("deepspeed.utils.timer").NoopTimer(),
        {},
        dp_process_group=dist.group.WORLD,
        partition_grads=False,
        contiguous_gradients=False,
        reduce_scatter=False,
        overlap_comm=False,  # a rank may lack the gradient for which another one waits
        reduce_bucket_size=BUCKET // 4,
        allgather_bucket_size=BUCKET // 4,
        communication_data_type=torch.float32,
        check_grad_overflow=False,  # these two would wait for the device
        compute_grad_norm=False,
    )


def _expect_divisible(model: Model, recipe: Recipe) -> None:
    """Raise TrainingError for what does not go with ZeRO."""
    refused = {
        "prior: it pulls by gradients that DeepSpeed has taken": recipe.prior is not None,
        "train.precision fp16: use bf16": recipe.train.precision == "fp16",
        "parameters that learn in other numbers than fp32": any(
            part.dtype != torch.float32 for part in model.parameters() if part.requires_grad
        ),
    }
    told = [what for what, found in refused.items() if found]
    if told:
        raise TrainingError(
            f"launched with DeepSpeed, which does not go with {'; '.join(told)}; launch without it "
            "(--launch ddp)"
        )
    if not dist.is_initialized():
        raise TrainingError(
            "launched with DeepSpeed, but as one process alone; use --launch deepspeed, or torchrun"
        )
