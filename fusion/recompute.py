"""Compute an encoder's blocks again in the backward, in place of keeping what is inside them."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from fusion.encoder import Encoder


def recompute(encoder: Encoder) -> None:
    """Keep only what goes into each of the encoder's blocks (Chen et al. 2016, sublinear memory cost).

    The gradient is the same to the bit: a block draws the same random numbers again, and its running
    statistics move once.
    """
    for block in encoder.recompute_blocks():
        vars(block)["forward"] = partial(_forward, block, block.forward)


def _forward(block: nn.Module, forward: Callable[..., Any], *args: Any, **inputs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **inputs)
    return checkpoint(forward, *args, use_reentrant=False, context_fn=partial(_contexts, block), **inputs)


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), unmoved(block)


@contextmanager
def unmoved(module: nn.Module) -> Iterator[None]:
    """Let BatchNorm leave its running statistics alone: what is computed again was counted before."""
    norms = counting(module)
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count


def counting(module: nn.Module) -> list[_BatchNorm]:
    """Return what takes the statistics of the rows that are encoded together."""
    return [part for part in module.modules() if isinstance(part, _BatchNorm) and part.training]
