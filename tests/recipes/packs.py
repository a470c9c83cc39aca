"""Small packs of made-up media in the form of those that the recipes read; the second row of each is torn."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from PIL import Image

ROWS = 40
TORN = b"not a picture and not a sound"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def write(folder: Path) -> Path:
    """Write all packs into the folder."""
    rng = np.random.default_rng(0)
    digits = (np.arange(ROWS) % 10).astype(np.uint8)
    for name, size in (("mnist", 28), ("fashion_mnist", 28), ("usps", 16)):
        scans = rng.integers(0, 256, (2, ROWS, size, size), np.uint8)
        np.savez(folder / f"{name}.npz", x_train=scans[0], y_train=digits, x_test=scans[1], y_test=digits)
    for name, rows in {
        "fsdd": [_said(rng, n) for n in range(ROWS)],
        "flickr1k_speech": [_photo(rng, n) for n in range(ROWS)],
        "coco_captions": [_photo(rng, n) for n in range(ROWS)],
        "emoji": [{"image": _png(rng, 64), "text": f"face {n}"} for n in range(ROWS)],
        "esc10": [_clip(rng, n) for n in range(ROWS)],
        "cifar10": [_object(rng, n) for n in range(ROWS)],
    }.items():
        for medium in ("image", "audio"):
            if medium in rows[1]:
                rows[1][medium] = TORN
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    _opinions(rng, folder)
    with (folder / "avdigits_index.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["split", "mnist_array", "mnist_row", "fsdd_row", "label", "text"])
        for n in range(2 * ROWS):
            split = "train" if n < ROWS else "val"
            array = "x_train" if n < ROWS else "x_test"
            writer.writerow([split, array, n % ROWS, n % ROWS, n % 10, WORDS[n % 10]])
    return folder


def _opinions(rng: np.random.Generator, folder: Path) -> None:
    """Features of three corpora, of which none has a text to train on; the fourth row has no sound."""
    for corpus, (audio, video) in {"youtube": (74, 36), "mmmo": (74, 36), "pom": (43, 41)}.items():
        arrays: dict[str, Any] = {}
        for split, rows in (("train", ROWS), ("valid", 12)):
            widths = {"audio": audio, "video": video}
            if split == "valid" and corpus != "pom":
                widths["text"] = 300
            for name, width in widths.items():
                arrays[f"{name}_{split}"] = rng.standard_normal((rows, 20, width)).astype(np.float32)
                arrays[f"{name}_{split}"][:, :5] = 0
            arrays[f"audio_{split}"][3] = 0
            told = {"youtube": np.eye(3)[np.arange(rows) % 3], "mmmo": 1 + np.arange(rows) % 9 / 2}
            arrays[f"y_{split}"] = told.get(corpus, rng.uniform(1, 7, (rows, 17))).astype(np.float32)
        np.savez(folder / f"mfn_{corpus}.npz", **arrays)


def _said(rng: np.random.Generator, n: int) -> dict[str, Any]:
    split = "test" if n % 4 == 0 else "train"
    speaker = ("jackson", "nicolas", "theo", "yweweler")[n // 4 % 4]
    return {"audio": _sound(rng, 0.4, 8000), "label": n % 10, "text": WORDS[n % 10]} | {
        "speaker": "theo" if n == 1 else speaker,  # the torn one is trained on
        "take": n,
        "split": split,
    }


def _photo(rng: np.random.Generator, n: int) -> dict[str, Any]:
    captions = [f"a thing of kind {n}, said in way {way}" for way in range(5)]
    sound = _sound(rng, 2.0, 16000)
    return {
        "image": _png(rng, 96),
        "captions": captions,
        "audio": sound,
        "split": "val" if n % 4 == 0 else "train",
    }


def _clip(rng: np.random.Generator, n: int) -> dict[str, Any]:
    words = ("Dog bark", "Rain", "Sea waves", "Baby cry", "Clock tick")
    return {"audio": _sound(rng, 2.0, 16000), "label": n % 5, "class": words[n % 5], "fold": 1 + n % 3}


def _object(rng: np.random.Generator, n: int) -> dict[str, Any]:
    return {"image": _png(rng, 32), "label": n % 10, "split": "test" if n % 4 == 0 else "train"}


def _png(rng: np.random.Generator, size: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (size, size, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def _sound(rng: np.random.Generator, seconds: float, rate: int) -> bytes:
    file = io.BytesIO()
    wave = 0.1 * rng.standard_normal(int(seconds * rate)).astype(np.float32)
    soundfile.write(file, wave, rate, format="FLAC")
    return file.getvalue()
