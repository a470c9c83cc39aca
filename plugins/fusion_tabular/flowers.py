"""The source `flowers`: made-up rows of a table, with a sentence and a picture, that agree on a kind."""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

KINDS = ("rose", "iris", "lily")
COLOURS = {"rose": ("red", "white"), "iris": ("blue", "white"), "lily": ("white", "red", "blue")}
PAINT = {"red": (200, 40, 40), "white": (230, 230, 230), "blue": (50, 60, 200)}
SOIL = ((0.6, 0.2, 0.2), (0.2, 0.6, 0.2), (0.2, 0.2, 0.6))  # clay, sand and loam, by kind
SPLITS = ("train", "test")
NUMBERS = {"height": ((60, 50, 70), 12.0), "petals": ((30, 6, 6), 4.0)}  # cm; means by kind, and deviation


class Flowers:
    """Rows with `table` (height and petals, numbers; colour and soil, words), `text`, `image` and `label`.

    Nothing tells the kind, 0 to 2, alone: height and soil say little, roses have more petals, and the picture
    (16 x 16) has the colour only. A cell of the table is missing with probability `missing`, and in place of
    a word of the text stands another kind's with probability `wrong`.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "test"] = "train",
        rows: Annotated[int, Field(ge=1)] = 600,
        missing: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        wrong: Annotated[float, Field(ge=0, le=1)] = 0.5,
    ) -> None:
        self.split, self.rows, self.missing, self.wrong = split, rows, missing, wrong

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.rows:
            raise IndexError(f"flowers: row {index} of {self.rows}")
        rng = np.random.default_rng((SPLITS.index(self.split), index))
        label = int(rng.integers(len(KINDS)))
        colour = str(rng.choice(COLOURS[KINDS[label]]))
        cells: dict[str, Any] = {
            name: round(float(rng.normal(means[label], deviation)), 1)
            for name, (means, deviation) in NUMBERS.items()
        }
        cells |= {"colour": colour, "soil": str(rng.choice(["clay", "sand", "loam"], p=SOIL[label]))}
        table = {name: None if rng.random() < self.missing else cell for name, cell in cells.items()}
        said = KINDS[rng.integers(len(KINDS))] if rng.random() < self.wrong else KINDS[label]
        pixels = np.clip(np.array(PAINT[colour]) + rng.normal(0, 30, (16, 16, 3)), 0, 255).astype(np.uint8)
        row = {"table": table, "text": f"perhaps a {said}", "image": pixels, "label": label}
        if not any(cell is not None for cell in table.values()):
            del row["table"]
        return row
