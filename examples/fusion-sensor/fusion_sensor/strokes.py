"""Synthesise what an accelerometer feels when a writer draws a digit in the air."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "test"]

WRITERS = {"train": range(0, 24), "test": range(24, 32)}  # nobody draws in both
TIMES = 4  # that a writer draws each digit
RATE = 50  # samples a second

# Corner points (x to the right, y up) that one stroke of the hand passes through.
STROKES = (
    ((5, 10), (1, 8), (0, 5), (1, 2), (5, 0), (9, 2), (10, 5), (9, 8), (5, 10)),
    ((2, 7), (5, 10), (5, 5), (5, 0)),
    ((0, 8), (4, 10), (8, 8), (7, 5), (3, 2), (0, 0), (5, 0), (10, 0)),
    ((0, 9), (5, 10), (8, 8), (4, 5), (9, 3), (6, 0), (0, 1)),
    ((6, 10), (3, 6), (0, 3), (5, 3), (10, 3), (7, 6), (7, 3), (7, 0)),
    ((9, 10), (4, 10), (1, 10), (1, 6), (6, 6), (9, 3), (6, 0), (0, 1)),
    ((8, 10), (3, 7), (0, 3), (3, 0), (8, 1), (8, 4), (4, 5), (1, 3)),
    ((0, 10), (5, 10), (10, 10), (7, 5), (4, 0)),
    ((9, 8), (5, 10), (1, 8), (5, 5), (9, 2), (5, 0), (1, 2), (5, 5), (9, 8)),
    ((9, 7), (5, 10), (1, 8), (4, 5), (9, 7), (9, 4), (8, 0)),
)


def trace(split: Split, index: int) -> NDArray[np.float32]:
    """Return the acceleration of one drawing, (samples, 3), about unit variance; 0.6 to 1.5 s."""
    writer, label = WRITERS[split][index // (10 * TIMES)], index % 10
    style, drawing = np.random.default_rng((1, writer)), np.random.default_rng((2, writer, index))
    path = np.array(STROKES[label], float) - 5
    path += drawing.normal(0, 0.4, path.shape)
    path = path * style.uniform(0.8, 1.2, 2) @ _turn(style.normal(0, 0.2))  # how wide, how slanted
    path = np.column_stack([path, 0.15 * path[:, 0] + drawing.normal(0, 0.3, len(path))])  # not quite a plane
    seconds = style.uniform(0.8, 1.3) * drawing.uniform(0.8, 1.2)
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1).cumsum()
    when = np.linspace(0, steps[-1], round(seconds * RATE))
    smooth = np.hanning(9) / np.hanning(9).sum()
    axes = [
        np.convolve(np.pad(np.interp(when, np.r_[0, steps], axis), 4, "edge"), smooth, "valid")
        for axis in path.T
    ]
    acceleration = np.diff(np.stack(axes, axis=1), n=2, axis=0)
    acceleration /= acceleration.std()
    acceleration += drawing.normal(0, 0.2, acceleration.shape)  # the noise of the sensor
    return acceleration.astype(np.float32)


def _turn(angle: float) -> NDArray[np.float64]:
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
