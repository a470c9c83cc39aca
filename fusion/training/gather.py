"""Join the rows of all ranks, with gradient, so that every loss is that of the whole batch."""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from fusion.division import Division
from fusion.losses import Rows

# all_gather_into_tensor is the older name; newer releases warn of it
GATHER: Callable[..., Any] = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor


def gather(rows: Rows) -> Rows:
    """Return the rows of all ranks in rank order, which is the order of the global batch.

    Every rank then has the same loss, and objectives that can divide the work of it among ranks do. All ranks
    must call it, with the same number of rows, and compute their losses together.
    """
    embeddings = rows.embeddings
    names = list(embeddings.pooled)
    vectors = _Gather.apply(torch.cat([*embeddings.pooled.values(), rows.fused], dim=1))
    *pooled, fused = vectors.split(rows.fused.shape[1], dim=1)
    marks = [*embeddings.present.values(), *embeddings.content.values(), embeddings.source]
    *gathered, source = _all(torch.stack([mark.long() for mark in marks], dim=1)).unbind(dim=1)
    joined = embeddings._replace(
        pooled=dict(zip(names, pooled, strict=True)),
        present=dict(zip(names, (mark.bool() for mark in gathered[: len(names)]), strict=True)),
        content=dict(zip(names, gathered[len(names) :], strict=True)),
        source=source,
    )
    targets = {name: _all(target) for name, target in rows.targets.items()}
    return Rows(joined, fused, targets, Division(dist.get_rank(), dist.get_world_size()))


def share_buffers(model: nn.Module) -> None:
    """Give all ranks the buffers of rank 0, such as running statistics; each has its own after a step."""
    for buffer in model.buffers():
        dist.broadcast(buffer, 0)


class _Gather(torch.autograd.Function):
    """All-gather whose backward needs no communication.

    Every rank has the same loss, so the gradient of its own rows is already complete; the factor undoes
    the mean over ranks that DistributedDataParallel takes.
    """

    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        ctx.rows = len(local)
        return _all(local)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        start = dist.get_rank() * ctx.rows
        return gradient[start : start + ctx.rows] * dist.get_world_size()


def _all(local: Tensor) -> Tensor:
    joined = local.new_empty(dist.get_world_size() * len(local), *local.shape[1:])
    GATHER(joined, local.contiguous())
    return joined
