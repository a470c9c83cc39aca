"""Regions of two inputs, by the numbers of their rows."""

from collections.abc import Callable

import torch

from fusion.attack import Block, Norm, Region

IMAGE, AUDIO = ("image", "x"), ("audio", "wave")
Make = Callable[..., Region]


def make(norm: Norm, image: float = 0.1, audio: float = 0.3, bound: float = 9.0, seed: int = 0) -> Region:
    """Return a region of four rows with images (3, 2, 2) in all but the second, and sounds (7,) in all."""

    def block(shape: tuple[int, ...], rows: list[int], radius: float) -> Block:
        low = torch.full((len(rows), *shape), -bound)
        radii = torch.full((len(rows), *(1 for _ in shape)), radius)
        return Block(low, -low, radii, torch.tensor(rows))

    blocks = {IMAGE: block((3, 2, 2), [0, 2, 3], image), AUDIO: block((7,), [0, 1, 2, 3], audio)}
    return Region(blocks, norm, torch.arange(4) + 10 * seed)
