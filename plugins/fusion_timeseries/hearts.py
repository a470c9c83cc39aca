"""The source `hearts`: made-up beats of two leads, with a sentence, that agree on how a heart beats."""

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

KINDS = ("slow", "fast", "uneven")
SPLITS = ("train", "test")
RATE = 25  # points a second
BEATS = {"slow": (0.9, 1.1, 0.02), "fast": (0.45, 0.6, 0.02), "uneven": (0.5, 1.0, 0.35)}  # s between, spread


class Hearts:
    """Rows with `series` (t, 2), 4 to 8 s at 25 Hz, `text`, and `label`: 0 slow, 1 fast, 2 uneven.

    Level and size of a lead differ by row and tell nothing. Points are missing, NaN, in stretches, with
    probability `missing`; in a tenth of the rows the second lead is missing as a whole. The sentence says
    another kind in a share `wrong` of the rows.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "test"] = "train",
        rows: Annotated[int, Field(ge=1)] = 600,
        missing: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        wrong: Annotated[float, Field(ge=0, le=1)] = 0.4,
    ) -> None:
        self.split, self.rows, self.missing, self.wrong = split, rows, missing, wrong

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.rows:
            raise IndexError(f"hearts: row {index} of {self.rows}")
        rng = np.random.default_rng((SPLITS.index(self.split), index))
        label = int(rng.integers(len(KINDS)))
        series = self._beats(KINDS[label], int(rng.integers(4 * RATE, 8 * RATE + 1)), rng)
        series = series * rng.uniform(0.5, 5, 2) + rng.normal(0, 20, 2)
        gaps = rng.random((len(series) // 5 + 1, 2)) < self.missing  # of five points each
        series[gaps.repeat(5, axis=0)[: len(series)]] = np.nan
        if rng.random() < 0.1:
            series[:, 1] = np.nan
        said = int(rng.integers(len(KINDS))) if rng.random() < self.wrong else label
        return {"series": series.astype(np.float32), "text": f"it beats {KINDS[said]}", "label": label}

    def _beats(self, kind: str, points: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return (points, 2): a peak for each beat, the second lead later and upside down, in noise."""
        low, high, spread = BEATS[kind]
        every = rng.uniform(low, high)
        apart = (every * np.exp(spread * rng.standard_normal(100))).clip(0.3)
        times = np.arange(points) / RATE
        beats = rng.uniform(0, every) + np.cumsum(apart)
        leads = [np.exp(-(((times[:, None] - beats - late) / 0.06) ** 2)).sum(1) for late in (0.0, 0.08)]
        return np.stack([leads[0], -leads[1]], axis=1) + rng.normal(0, 0.1, (points, 2))
