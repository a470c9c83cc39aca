"""A part of the rows that come, evenly spread over all, for what cannot be counted row by row."""

import torch
from torch import Tensor

NUMBERS = 2**22
"""Numbers that are kept."""


class Spread:
    """Rows of scores, evenly spread over all that came: as many as there is room for, a half at least."""

    def __init__(self) -> None:
        self.every, self.seen = 1, 0
        self.parts: list[Tensor] = []

    def add(self, score: Tensor) -> None:
        self.parts.append(score[-self.seen % self.every :: self.every])
        self.seen += len(score)
        room = max(2_000, NUMBERS // max(1, score[0].numel()))
        while sum(map(len, self.parts)) > room:
            self.parts = [self.rows[::2].clone()]
            self.every *= 2

    @property
    def rows(self) -> Tensor:
        return torch.cat(self.parts)
