"""The source `tones`: made-up features of several modalities, which agree on a label."""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

CLASSES = 3
SPLITS = ("train", "test")


class Tones:
    """Rows of features for each of `modalities`: (t, 4), (t, 5), one vector (6,), (t, 4) ..., t from 3 to 8.

    Each holds the label 0, 1 or 2 as a direction of its own in noise of standard deviation `noise`, at a
    scale of its own. With the probability `missing` a modality is absent from a row, though never all.
    """

    def __init__(
        self,
        *,
        modalities: tuple[str, ...] = ("features",),
        split: Literal["train", "test"] = "train",
        rows: Annotated[int, Field(ge=1)] = 300,
        noise: Annotated[float, Field(ge=0)] = 1.0,
        missing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        self.modalities, self.split, self.rows = modalities, split, rows
        self.noise, self.missing = noise, missing

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.rows:
            raise IndexError(f"tones: row {index} of {self.rows}")
        rng = np.random.default_rng((SPLITS.index(self.split), index))
        label, kept = int(rng.integers(CLASSES)), int(rng.integers(len(self.modalities)))
        row: dict[str, Any] = {"label": label}
        for number, name in enumerate(self.modalities):
            width, moments = 4 + number % 3, int(rng.integers(3, 9))
            centre = np.random.default_rng((7, number, label)).standard_normal(width)
            sample = centre + self.noise * rng.standard_normal((moments, width))
            if number == kept or rng.random() >= self.missing:
                row[name] = (10 * number + sample * 3**number).astype(np.float32)[
                    slice(None) if width < 6 else 0
                ]
        return row
