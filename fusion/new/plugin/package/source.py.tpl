"""The source `$kebab-rows`: made-up samples, and words that name them."""

from typing import Any, Literal

import numpy as np

WORDS = ("slow", "even", "fast")


class ${camel}Rows:
    """Waves of three kinds, (t, 3), each with its word and its label; those of `test` are others."""

    def __init__(self, *, split: Literal["train", "test"] = "train", rows: int = 120) -> None:
        self.split = split
        self.rows = rows

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.rows:
            raise IndexError(f"$kebab-rows: row {index} of {self.rows}")
        label = index % len(WORDS)
        rng = np.random.default_rng((self.split == "test", index))
        time = np.arange(rng.integers(30, 60))[:, None]
        wave = (label + 1) * np.sin(time / 4 + rng.uniform(0, 6, 3))  # the faster, the further it swings
        return {
            "$name": wave + rng.normal(0, 0.1, wave.shape),
            "text": WORDS[label],
            "label": label,
        }
