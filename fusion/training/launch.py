"""Start Accelerate as the recipe asks, and refuse a launch that is not what was asked for."""

import atexit
import os
from datetime import timedelta

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import (
    DistributedDataParallelKwargs,
    DistributedType,
    GradientAccumulationPlugin,
    InitProcessGroupKwargs,
    patch_environment,
)

from fusion.errors import TrainingError
from fusion.launch import deepspeed
from fusion.recipe.problems import ACCUMULATED
from fusion.recipe.schema import Train
from fusion.training import watch

PATIENCE = timedelta(hours=2)
"""How long the others wait while the first process evaluates or saves; a death is noticed before."""
OTHERS = (DistributedType.MEGATRON_LM,)
FSDP = "ACCELERATE_USE_FSDP"


def launch(train: Train) -> Accelerator:
    """Return the accelerator. Raises TrainingError when world size, batch or precision do not fit."""
    accelerator = start(train.precision)
    if train.batch != "auto" and train.batch % accelerator.num_processes:
        raise TrainingError(
            f"train.batch ({train.batch}) must be divisible by the number of processes "
            f"({accelerator.num_processes}); it counts the rows of all of them"
        )
    return accelerator


def start(precision: str = "fp32") -> Accelerator:
    """Return the accelerator, also for what is no training. Raises TrainingError when it is not as asked."""
    asked = int(os.environ.get("WORLD_SIZE", "1"))
    if precision == "fp16" and not torch.cuda.is_available():
        raise TrainingError("train.precision fp16 needs a GPU; use bf16 or fp32 on this machine")
    AcceleratorState._reset_state()  # it would refuse another precision than an earlier training had
    atexit.unregister(_leave)
    atexit.register(_leave)
    for asks in (sharded, divided):
        asks()  # or refused
    with patch_environment(**{FSDP: "false", deepspeed.USED: "false"}):  # the sharding is fusion's own
        accelerator = Accelerator(
            # torchrun with a plain Accelerator() on a CPU gives unrelated runs, silently
            cpu=asked > 1 and not torch.cuda.is_available(),
            mixed_precision="no" if precision == "fp32" else precision,
            # a rank whose rows lack a modality has no gradient for its encoder
            kwargs_handlers=[
                DistributedDataParallelKwargs(find_unused_parameters=True),
                InitProcessGroupKwargs(timeout=PATIENCE),
            ],
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        )
    accumulated = os.environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    if accumulated not in ("1", "auto"):  # DeepSpeed's "auto" is what the recipe asks for: one
        raise TrainingError(f"`accelerate config` accumulates over {accumulated} steps; {ACCUMULATED}")
    if accelerator.distributed_type in OTHERS:
        raise TrainingError(
            f"launched with {accelerator.distributed_type.value}, which fusion does not support; "
            "choose multi-GPU, FSDP with version 2, or DeepSpeed with stage 1, in `accelerate config`"
        )
    if accelerator.num_processes != asked:
        raise TrainingError(
            f"launched as {asked} processes, but Accelerate runs {accelerator.num_processes}; on a CPU "
            "launch with `torchrun --standalone --nproc-per-node N -m fusion train RECIPE`"
        )
    watch.begin(accelerator)
    return accelerator


def sharded() -> bool:
    """Return whether the launcher asked for FSDP2. Raises TrainingError where it asked for FSDP1."""
    if os.environ.get(FSDP, "false").lower() != "true":
        return False
    if os.environ.get("FSDP_VERSION", "1") != "2":
        raise TrainingError("launched with FSDP1; fusion shards by FSDP2: give `fsdp_version: 2`")
    for key in ("offload_params", "activation_checkpointing"):
        if os.environ.get(f"FSDP_{key.upper()}", "false").lower() == "true":
            raise TrainingError(f"launched with fsdp_{key}, which fusion does not support; leave it out")
    return True


def divided() -> bool:
    """Return whether the launcher asked for ZeRO-1. Raises TrainingError if it asked for more, or in vain."""
    if os.environ.get(deepspeed.USED, "false").lower() != "true":
        return False
    if sharded():
        raise TrainingError("launched with FSDP2 and with DeepSpeed; choose one")
    told = {key: os.environ.get(name, "none") for key, name in deepspeed.SETTINGS.items()}
    deepspeed.expect_stage_1(told, "launched with DeepSpeed")
    deepspeed.installed()
    return True


def _leave() -> None:
    """Stop the threads of the process group: left to the end of the interpreter they may abort it."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
