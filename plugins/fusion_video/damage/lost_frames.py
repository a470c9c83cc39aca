"""Frames that are lost."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fusion_video.film import Film, Frames, film, seed


def lost_frames(raw: Any, severity: int, rng: np.random.Generator) -> Film:
    """Lose each of the frames that are read but the first with probability 15, 30, 45, 60 or 75 %.

    The frame before stays in its place, as players show it. Yi et al. (2021) lose packets and frames of the
    file; the few frames that an encoder reads would hardly be other ones.
    """
    return film(raw).changed(Held(0.15 * severity, seed(rng)))


@dataclass(frozen=True)
class Held:
    """Holds the frame before, with a probability."""

    chance: float
    seed: int

    def __call__(self, frames: Frames) -> Frames:
        rng, held = np.random.default_rng(self.seed), None
        for frame in frames:
            if rng.random() >= self.chance or held is None:
                held = frame
            yield held
