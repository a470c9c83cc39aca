"""Start Accelerate as the recipe asks, and refuse a launch that is not what was asked for."""

import atexit
import os

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, DistributedType, GradientAccumulationPlugin

from fusion.errors import TrainingError
from fusion.recipe import Train
from fusion.recipe_problems import ACCUMULATED

SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)


def launch(train: Train) -> Accelerator:
    """Return the accelerator. Raises TrainingError when world size, batch or precision do not fit."""
    asked = int(os.environ.get("WORLD_SIZE", "1"))
    if train.precision == "fp16" and not torch.cuda.is_available():
        raise TrainingError("train.precision fp16 needs a GPU; use bf16 or fp32 on this machine")
    AcceleratorState._reset_state()  # it would refuse another precision than an earlier training had
    atexit.unregister(_leave)
    atexit.register(_leave)
    accelerator = Accelerator(
        # torchrun with a plain Accelerator() on a CPU gives unrelated runs, silently
        cpu=asked > 1 and not torch.cuda.is_available(),
        mixed_precision="no" if train.precision == "fp32" else train.precision,
        # a rank whose rows lack a modality has no gradient for its encoder
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
    )
    accumulated = os.environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    if accumulated not in ("1", "auto"):  # "auto" is one of DeepSpeed's, which is refused below
        raise TrainingError(f"`accelerate config` accumulates over {accumulated} steps; {ACCUMULATED}")
    if accelerator.distributed_type in SHARDED:
        raise TrainingError(
            f"launched with {accelerator.distributed_type.value}, which shards the model; fusion trains "
            "whole copies of it: choose multi-GPU without FSDP or DeepSpeed in `accelerate config`"
        )
    if accelerator.num_processes != asked:
        raise TrainingError(
            f"launched as {asked} processes, but Accelerate runs {accelerator.num_processes}; on a CPU "
            "launch with `torchrun --standalone --nproc-per-node N -m fusion train RECIPE`"
        )
    if train.batch != "auto" and train.batch % accelerator.num_processes:
        raise TrainingError(
            f"train.batch ({train.batch}) must be divisible by the number of processes "
            f"({accelerator.num_processes}); it counts the rows of all of them"
        )
    return accelerator


def _leave() -> None:
    """Stop the threads of the process group: left to the end of the interpreter they may abort it."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
