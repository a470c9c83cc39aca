"""Add up over every two rows tile by tile, so that b rows never take b x b numbers."""

import functools
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from fusion.division import division

Tile = tuple[slice, slice]
Measure = Callable[..., Tensor]
Beside = Callable[[slice], slice]

WHOLE = {"cpu": 1024, "cuda": 4096}  # up to so many rows one tile with all of them is faster
EDGE = 768  # rows of a tile on a CPU: less repeat more work on the side, more take more memory
LEAST, MOST = 1024, 4096  # rows of a tile on a GPU: fewer leave it idle, more gain little
HELD = 64  # bytes for every two rows of a tile, with its gradient
SHARE = 8  # one part in so many of the free memory is for a tile


def whole(x: Tensor) -> bool:
    """Tell whether the rows of x are few enough to be compared all at once; every rank says the same."""
    return len(x) <= WHOLE.get(x.device.type, WHOLE["cpu"])


def edge(device: torch.device) -> int:
    """Return how many rows a tile has on a device."""
    return _fitting(device) if device.type == "cuda" else EDGE


def blocks(rows: range, size: int) -> list[slice]:
    """Return slices of at most `size` rows that are all of them."""
    return [slice(start, min(start + size, rows.stop)) for start in range(rows.start, rows.stop, size)]


def tiles(x: Tensor, beside: Beside | None = None, rows: int | None = None) -> list[Tile]:
    """Return the tiles of this rank: some of the rows of x, and all rows in as many steps as it takes.

    Or, with `beside`, some of the rows and the others that it gives for them.
    """
    size = rows or edge(x.device)
    mine = blocks(division().part(len(x)), size)
    if beside is not None:
        return [(i, beside(i)) for i in mine]
    return [(i, j) for i in mine for j in blocks(range(len(x)), size)]


def sum_over_tiles(
    measure: Measure,
    x: Tensor,
    y: Tensor,
    *shared: Tensor,
    beside: Beside | None = None,
    rows: int | None = None,
) -> Tensor:
    """Return the sum over tiles (i, j) of `measure(i, j, x[i], y[j], *shared)`, (), the same on every rank.

    `measure` is differentiable in all tensors that it is given; what else it needs it finds by the slices.
    Where the rows are not compared all at once, the gradient is computed along with the sum, while a tile
    is at hand, and each rank does a part of the work. Tiles are those of `tiles`.
    """
    x, y = (part if part.dtype == torch.float64 else part.float() for part in (x, y))
    lower = torch.is_autocast_enabled(x.device.type)  # with which cosines would differ in the third digit
    with torch.autocast(x.device.type, enabled=False) if lower else nullcontext():
        if whole(x):
            i = slice(0, len(x))
            if beside is None:
                return measure(i, i, x, y, *shared)
            return measure(i, beside(i), x, y[beside(i)], *shared)
        todo = tiles(x, beside, rows)
        return _Sum.apply(measure, todo, torch.is_grad_enabled(), x, y, *shared)  # type: ignore[no-any-return]


class _Sum(torch.autograd.Function):
    """A sum over tiles that computes its gradient at once, and keeps that alone for the backward.

    So ranks wait for each other only in the forward. In the backward they would while
    DistributedDataParallel adds up gradients, in an order that depends on what a rank has.
    """

    @staticmethod
    def forward(ctx: Any, measure: Measure, todo: list[Tile], learning: bool, *given: Tensor) -> Tensor:
        whose = division()
        # whether rows need a gradient may differ between ranks, but not what these add up
        wanted = [learning and (part.requires_grad or whose.ranks > 1) for part in given]
        gradients = [
            torch.zeros_like(part) if want else part for part, want in zip(given, wanted, strict=True)
        ]
        values = given[0].new_zeros(len(todo))  # one by one they would keep the memory of tiles from use
        for number, (i, j) in enumerate(todo):
            parts = [
                part.detach().requires_grad_(want)
                for part, want in zip(_cut(given, i, j), wanted, strict=True)
            ]
            with torch.set_grad_enabled(any(wanted)):
                value = measure(i, j, *parts)
            values[number] = value.detach()
            if not any(wanted):
                continue
            found = iter(torch.autograd.grad(value, [part for part in parts if part.requires_grad]))
            for total, want in zip(_cut(gradients, i, j), wanted, strict=True):
                if want:
                    total += next(found)
        result = values.sum()
        kept = [total if want else None for total, want in zip(gradients, wanted, strict=True)]
        whose.add_up(result, *(total for total in kept if total is not None))
        ctx.kept = kept
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.kept is None:
            raise RuntimeError("the gradient of a loss in tiles is handed out once; compute the loss again")
        kept, ctx.kept = ctx.kept, None
        # in place: a copy would be all that a backward takes
        return None, None, None, *(None if total is None else total.mul_(gradient) for total in kept)


def _cut(given: Sequence[Tensor], i: slice, j: slice) -> list[Tensor]:
    x, y, *shared = given
    return [x[i], y[j], *shared]


@functools.cache  # a device is asked once: its answer makes the host wait
def _fitting(device: torch.device) -> int:
    """Return a power of two, so that a little more or less of free memory changes no bit of a result."""
    free, _ = torch.cuda.mem_get_info(device)
    rows = math.isqrt(free // (HELD * SHARE))
    return min(MOST, max(LEAST, 1 << rows.bit_length() >> 1))
