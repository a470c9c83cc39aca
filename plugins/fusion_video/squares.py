"""The source `squares`: made-up films of a square that comes nearer or goes away, with words."""

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

WAYS = ("nearer", "farther", "nearer and back", "farther and back")
SIDE, SMALL, LARGE = 32, 6, 22  # pixels
SPLITS = ("train", "test")


class Squares:
    """Rows with `video` (t, 32, 32, 3), t from 6 to 12, `text`, `image` (its first frame) and `label`.

    The label, 0 to 3, is how the square moves, which no single frame tells. The sentence says
    another way in a share `wrong` of the rows.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "test"] = "train",
        rows: Annotated[int, Field(ge=1)] = 600,
        wrong: Annotated[float, Field(ge=0, le=1)] = 0.6,
    ) -> None:
        self.split, self.rows, self.wrong = split, rows, wrong

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.rows:
            raise IndexError(f"squares: row {index} of {self.rows}")
        rng = np.random.default_rng((SPLITS.index(self.split), index))
        label = int(rng.integers(len(WAYS)))
        film = _film(label, int(rng.integers(6, 13)), rng)
        said = WAYS[rng.integers(len(WAYS)) if rng.random() < self.wrong else label]
        return {"video": film, "text": f"it moves {said}", "image": film[0], "label": label}


def _film(way: int, frames: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    film = rng.integers(0, 60, (frames, SIDE, SIDE, 3), np.uint8)
    near = np.linspace(0, 1, frames)  # of a square that comes nearer
    near = 1 - np.abs(2 * near - 1) if way >= 2 else near
    near = 1 - near if way % 2 else near
    centre, colour = rng.integers(0, SIDE, 2), rng.integers(120, 256, 3)
    for frame, size in zip(film, SMALL + (LARGE - SMALL) * near, strict=True):
        rows, columns = ((middle - round(size / 2) + np.arange(round(size))) % SIDE for middle in centre)
        frame[np.ix_(rows, columns)] = colour
    return film
