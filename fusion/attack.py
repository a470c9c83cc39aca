"""What an attack is: a function that finds the perturbation, inside a region, that harms a model most.

    def attack(harm: Harm, region: Region, *, steps: int = 10) -> Delta

Its keyword-only parameters are the options of a recipe. It draws random numbers from `region` alone, never
asks the host for a number on the device, and returns what lies in the region.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple
from zlib import crc32

import torch
from torch import Tensor

from fusion.noise import normal, uniform

Key = tuple[str, str]
"""A modality, and the name of an input of its encoder."""
Delta = Mapping[Key, Tensor]
"""A perturbation: for every input under attack (n, ...), in units of the raw sample."""
Harm = Callable[[Delta], Tensor]
"""How badly each of b rows does under a perturbation, (b,): differentiable, larger is worse, row by row."""
Attack = Callable[[Harm, "Region"], Delta]
Norm = Literal["linf", "l2"]


class Block(NamedTuple):
    """One input under attack: a perturbation of it lies from `low` to `high`, and in a ball of `radius`."""

    low: Tensor  # (n, ...) not above 0
    high: Tensor  # (n, ...) not below 0
    radius: Tensor  # (n, 1, ...): 0 for a row that is left alone
    rows: Tensor  # (n,) long: which of the b rows each of them is

    @property
    def free(self) -> Tensor:
        """Which numbers of a sample can move at all, (n, ...) bool: padding cannot."""
        return self.high > self.low

    def of_rows(self, values: Tensor) -> Tensor:
        """Return what each of b rows has, (b,), for these n, (n, 1, ...)."""
        return values[self.rows].reshape(self.radius.shape)


class Region:
    """Where perturbations may lie: for every row and input in a ball and in the range of raw samples.

    `keys`, (b,) long, are what random numbers follow from: rows of an equal key have equal ones.
    """

    def __init__(self, blocks: Mapping[Key, Block], norm: Norm, keys: Tensor) -> None:
        self.blocks, self.norm, self.keys = dict(blocks), norm, keys

    def zero(self) -> Delta:
        """Return the perturbation that changes nothing."""
        return {key: torch.zeros_like(block.low) for key, block in self.blocks.items()}

    def random(self) -> Delta:
        """Return a point that is uniform in the ball of every row, as far as the range of samples allows.

        The ball is in what is free to move, so that a row has the same point however far it is padded.
        """
        drawn = {}
        for key, block in self.blocks.items():
            keys, free = self.keys[block.rows], block.free.flatten(1)
            place = free.cumsum(dim=1) - 1  # among those that are free
            salt = crc32("/".join(key).encode())  # whatever else the batch has
            if self.norm == "linf":
                unit = 2 * uniform(keys, place, salt) - 1
            else:
                direction = normal(keys, place, salt) * free
                size = free.sum(dim=1, keepdim=True).clamp(min=1)
                length = uniform(keys, 1, salt + 1) ** (1 / size)
                unit = direction / direction.norm(dim=1, keepdim=True).clamp(min=TINY) * length
            drawn[key] = block.radius * unit.reshape(block.low.shape)
        return self.project(drawn)

    def project(self, delta: Delta) -> Delta:
        """Return the nearest point in the ball, less what is out of range.

        For L2 that may be a little nearer to zero than the nearest point in both.
        """
        return {key: self._project(delta[key], block) for key, block in self.blocks.items()}

    def climb(self, delta: Delta, slope: Delta, size: Tensor | float) -> Delta:
        """Return the perturbation after a step of steepest ascent, projected.

        The step is `size` times the radius, of all rows or (b,) of each. Where the slope is 0 or not finite
        there is none.
        """
        moved = {}
        for key, block in self.blocks.items():
            each = block.of_rows(size) if isinstance(size, Tensor) else size
            moved[key] = delta[key] + each * block.radius * self._steepest(slope[key])
        return self.project(moved)

    def where(self, chosen: Tensor, one: Delta, other: Delta) -> Delta:
        """Return `one` for the rows that are `chosen`, (b,) bool, and `other` for the rest."""
        return {
            key: torch.where(block.of_rows(chosen), one[key], other[key])
            for key, block in self.blocks.items()
        }

    def _project(self, delta: Tensor, block: Block) -> Tensor:
        if self.norm == "linf":
            delta = torch.minimum(torch.maximum(delta, -block.radius), block.radius)
        else:
            length = _lengths(delta)
            delta = delta * torch.where(length > block.radius, block.radius / length, 1.0)
        return torch.minimum(torch.maximum(delta, block.low), block.high)

    def _steepest(self, slope: Tensor) -> Tensor:
        slope = slope.nan_to_num(0.0, 0.0, 0.0)
        if self.norm == "linf":
            return slope.sign()
        slope = slope / _rowwise(slope.abs().flatten(1).amax(1), slope).clamp(min=TINY)  # or its square is 0
        return slope / _lengths(slope).clamp(min=TINY)


def gradient(harm: Harm, delta: Delta) -> tuple[Tensor, Delta]:
    """Return the harm of b rows, (b,), and how it grows with every number of a perturbation."""
    leaves = {key: part.detach().requires_grad_() for key, part in delta.items()}
    with torch.enable_grad():
        value = harm(leaves)
        total = value.sum()
    if not total.requires_grad:
        return value, {key: torch.zeros_like(part) for key, part in leaves.items()}
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return value.detach(), dict(zip(leaves, found, strict=True))


def ascend(harm: Harm, region: Region, start: Delta, steps: int, size: float) -> Delta:
    """Return where so many steps of projected gradient ascent end; each is `size` times the radius."""
    delta = start
    for _ in range(steps):
        _, slope = gradient(harm, delta)
        delta = region.climb(delta, slope, size)
    return delta


TINY = torch.finfo(torch.float32).tiny


def _lengths(part: Tensor) -> Tensor:
    return _rowwise(part.flatten(1).norm(dim=1), part)


def _rowwise(values: Tensor, part: Tensor) -> Tensor:
    return values.reshape(-1, *(1 for _ in part.shape[1:]))
