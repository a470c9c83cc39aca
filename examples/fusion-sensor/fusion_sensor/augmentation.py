"""The augmentation `sensor-turn`: the same drawing with the sensor held a little otherwise."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion import Augmentation
from fusion_sensor.encoder import CHANNELS, read


class SensorTurn(Augmentation):
    """Turns a trace by about `turn` radians in space and adds noise, both Gaussian."""

    def __init__(self, *, turn: float = 0.1, noise: float = 0.1) -> None:
        self.turn = turn
        self.noise = noise

    def __call__(
        self, raw: object, rng: np.random.Generator, other: Callable[[], Any]
    ) -> NDArray[np.float32]:
        trace = read(raw)
        axes = np.linalg.qr(np.eye(CHANNELS) + rng.normal(0, self.turn, (CHANNELS, CHANNELS)))[0]
        axes *= np.sign(np.diag(axes))  # qr may mirror an axis
        return (trace @ axes + rng.normal(0, self.noise, trace.shape)).astype(np.float32)
