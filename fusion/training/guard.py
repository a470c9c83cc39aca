"""Leave a step out whose gradient is not finite: as if it had not been, on all ranks, and nobody waits."""

from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer


class Guard:
    """Takes the steps of an optimiser, and takes back what a forward wrote where a step is left out.

    The gradient is that of all ranks, so one number of one rank that is not finite has all of them leave the
    step out. The weights, the optimiser's state and the model's buffers (running statistics) stay as they
    were. Neither the rates nor the order of rows know of it.
    """

    def __init__(self, model: nn.Module, adamw: Any, accelerator: Accelerator) -> None:
        self.adamw, self.scaler = adamw, accelerator.scaler
        alike: dict[torch.dtype, list[Tensor]] = {}
        for buffer in model.buffers():
            if not _expanded(buffer):
                alike.setdefault(buffer.dtype, []).append(buffer)
        self.buffers = list(alike.values())
        self.before: list[Tensor] = []

    def keep(self) -> None:
        """Remember the buffers as they are before a forward."""
        self.before = [_flat(buffers) for buffers in self.buffers]

    @torch.no_grad()
    def step(self, norm: Tensor) -> None:
        """Let the optimiser take its step if the norm of the gradient is finite."""
        finite = norm.isfinite()
        if self.scaler is not None:
            self.adamw.step()  # the scaler leaves it out
        elif norm.is_cuda:
            step_where(finite, self.adamw.optimizer)
        elif finite:
            self.adamw.optimizer.step()  # Accelerate's own looks for installed packages in every step
            return
        for buffers, before in zip(self.buffers, self.before, strict=True):
            kept = torch.where(finite, _flat(buffers), before)
            sizes = [buffer.numel() for buffer in buffers]
            parts = [
                part.view_as(buffer) for part, buffer in zip(torch.split(kept, sizes), buffers, strict=True)
            ]
            torch._foreach_copy_(buffers, parts)


def step_where(finite: Tensor, optimizer: Optimizer) -> None:
    """Let a fused optimiser take its step if `finite`, () bool, is true on the device; nobody reads it here.

    It asks for these two attributes, which a loss scaler would set.
    """
    vars(optimizer).update(grad_scale=None, found_inf=(~finite).float())
    optimizer.step()


def _expanded(tensor: Tensor) -> bool:
    """Tell whether several places of a tensor are one in memory: torch writes into none such."""
    return any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True))


def _flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])
