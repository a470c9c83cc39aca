"""The mean over ranks of the gradients, where DistributedDataParallel does not take it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

BUCKET = 25 * 2**20
"""Bytes that are reduced at once, as many as DistributedDataParallel takes."""


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Give all ranks the mean of their gradients; a rank without one counts as zero. All ranks call it.

    Where no rank has one there is none, so that the optimiser leaves the parameter alone.
    """
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    complete(learning)
    gradients = [parameter.grad for parameter in learning if parameter.grad is not None]
    for some in _buckets(gradients):
        flat = torch.cat([gradient.reshape(-1) for gradient in some])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        means = torch.split(flat, [gradient.numel() for gradient in some])
        for gradient, mean in zip(some, means, strict=True):
            gradient.copy_(mean.view_as(gradient))


def complete(parameters: Iterable[nn.Parameter], hosts: Any = None) -> None:
    """Give a parameter that has a gradient on some rank one of zeros on the others. All ranks call it.

    `hosts` is a group of all ranks that talks on the CPU; with it none waits for its device.
    """
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    have = torch.tensor([parameter.grad is not None for parameter in learning], dtype=torch.int32)
    if hosts is None:
        have = have.to(learning[0].device, non_blocking=True)
    dist.all_reduce(have, group=hosts)
    lacking = [number for number, parameter in enumerate(learning) if parameter.grad is None]
    if lacking:  # a rank that has all of them need not wait for the answer
        anywhere = have.tolist()
        for number in lacking:
            if anywhere[number]:
                learning[number].grad = torch.zeros_like(learning[number])


def clip(divided: list[Tensor], whole: list[Tensor], limit: float | None, device: torch.device) -> Tensor:
    """Scale gradients to a norm of at most `limit`, if there is one; return that before, ().

    All ranks call it; of what is divided each has a part, and what is whole is the same on all.
    """
    square = _square(divided, device)
    dist.all_reduce(square)
    norm = (square + _square(whole, device)).sqrt()
    if limit is not None:
        torch._foreach_mul_(divided + whole, (limit / (norm + 1e-6)).clamp(max=1.0))
    return norm


def _square(gradients: list[Tensor], device: torch.device) -> Tensor:
    """Return the sum of the squares of all numbers."""
    norms = torch._foreach_norm(gradients) if gradients else [torch.zeros((), device=device)]
    return torch.stack(list(norms)).square().sum()


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Yield neighbours of one type, of about BUCKET bytes."""
    some: list[Tensor] = []
    for gradient in gradients:
        full = sum(other.nbytes for other in some) + gradient.nbytes > BUCKET
        if some and (full or gradient.dtype != some[0].dtype):
            yield some
            some = []
        some.append(gradient)
    if some:
        yield some
