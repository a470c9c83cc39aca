"""Draw the rows that a new project begins with: shapes, tones that move as shapes do, and words."""

import csv
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image, ImageDraw

KINDS = ("circle", "cross", "bar")
BEND = {"circle": 0.0, "cross": -300.0, "bar": 300.0}  # Hz that a tone rises in its half second
CAPTIONS = ("a {}", "the {}", "one {}", "it is a {}")
COLOURS = ("crimson", "seagreen", "royalblue", "darkorange")
RATE = 16000
TRAIN, TEST = 36, 12


def write_rows(folder: Path) -> list[Path]:
    """Write train.csv, test.csv and the files they name. In training no row has a picture and a sound."""
    rng = np.random.default_rng(0)
    return [*_table(folder, "train", TRAIN, rng), *_table(folder, "test", TEST, rng)]


def _table(folder: Path, split: str, rows: int, rng: np.random.Generator) -> list[Path]:
    (folder / split).mkdir(parents=True)
    written = [folder / f"{split}.csv"]
    lines = [["image", "audio", "text", "label"]]
    for row in range(rows):
        label = row % len(KINDS)
        image, audio = f"{split}/{row:02}.png", f"{split}/{row:02}.wav"
        seen, heard = split == "test" or row < rows // 2, split == "test" or row >= rows // 2
        if seen:
            _picture(KINDS[label], rng).save(folder / image)
            written.append(folder / image)
        if heard:
            soundfile.write(folder / audio, _tone(KINDS[label], rng), RATE)
            written.append(folder / audio)
        caption = CAPTIONS[rng.integers(len(CAPTIONS))].format(KINDS[label])
        lines.append([image if seen else "", audio if heard else "", caption, str(label)])
    with written[0].open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
    return written


def _picture(kind: str, rng: np.random.Generator) -> Image.Image:
    """Return a shape somewhere on a grey ground, 32 x 32 pixels."""
    picture = Image.new("RGB", (32, 32), (int(rng.integers(160, 256)),) * 3)
    x, y, radius = (float(number) for number in (*rng.uniform(13, 19, 2), rng.uniform(8, 11)))
    colour = COLOURS[rng.integers(len(COLOURS))]
    draw = ImageDraw.Draw(picture)
    if kind == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    else:
        draw.line((x - radius, y, x + radius, y), fill=colour, width=5)
    if kind == "cross":
        draw.line((x, y - radius, x, y + radius), fill=colour, width=5)
    return picture


def _tone(kind: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return half a second of a tone that stays, falls or rises, with a little noise, (8000,)."""
    time = np.arange(RATE // 2) / RATE
    pitch = rng.uniform(500, 700) + BEND[kind] * time * 2
    wave = np.sin(2 * np.pi * np.cumsum(pitch) / RATE)
    return np.asarray(0.3 * wave + rng.normal(0, 0.01, time.shape))
