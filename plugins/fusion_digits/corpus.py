"""Load the scans and the clips, and keep what is tested apart from what is trained on.

Scans: scikit-learn's `load_digits`, 1,797 digits written by 13 people: the test half of Optical Recognition
of Handwritten Digits (Alpaydin & Kaynak 1998, UCI repository, doi 10.24432/C50P49, CC BY 4.0).
It does not say who wrote which, so the split is by scan: writers occur on both sides.

Clips: 960 digits that espeak-ng 1.51 spoke (see speak.py), 32 voices in three accents. It is
synthetic speech; the split is by voice, so a tested voice is never heard in training.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "test"]

RATE = 8000  # Hz, of every clip
TESTED = 50  # scans of each digit that are kept for the test split


class Scans(NamedTuple):
    """Handwritten digits in the order of `load_digits`."""

    pixels: NDArray[np.uint8]  # (n, 8, 8) ink, 0..255
    labels: NDArray[np.int64]  # (n,) 0..9


class Clips(NamedTuple):
    """Spoken digits in the order of accent, voice, digit."""

    pcm: NDArray[np.int16]  # all clips of both splits, end to end
    spans: NDArray[np.int64]  # (n, 2) first sample and the one after the last
    labels: NDArray[np.int64]  # (n,) 0..9

    def waveform(self, index: int) -> NDArray[np.float32]:
        """Cut one clip out: samples in [-1, 1]."""
        start, stop = self.spans[index]
        return self.pcm[start:stop].astype(np.float32) / np.float32(32768)


@cache
def scans(split: Split) -> Scans:
    """Read the scans of a split: 1,297 to train on, 500 to test on, 50 of each digit."""
    from sklearn.datasets import load_digits

    data = load_digits()
    labels = data.target.astype(np.int64)
    tested = np.zeros(len(labels), dtype=bool)
    draw = np.random.RandomState(0)  # its stream never changes, so neither does the split
    for digit in range(10):
        tested[draw.permutation(np.flatnonzero(labels == digit))[:TESTED]] = True
    chosen = tested == (split == "test")
    ink = np.round(data.images[chosen] * (255 / 16)).astype(np.uint8)
    return Scans(ink, labels[chosen])


@cache
def clips(split: Split) -> Clips:
    """Decode the clips of a split: 720 in 24 voices to train on, 240 in 8 others to test on."""
    index = json.loads(files("fusion_digits").joinpath("spoken.json").read_text())
    rows = [dict(zip(index["columns"], row, strict=True)) for row in index["clips"]]
    rows = [row for row in rows if row["split"] == split]
    spans = np.array([(row["start"], row["stop"]) for row in rows])
    return Clips(_speech(), spans, np.array([row["digit"] for row in rows]))


@cache
def pairs(split: Split) -> NDArray[np.int64]:
    """Give every scan a clip of the same digit, all clips in turn: (scans of the split,) indices of clips."""
    written, spoken = scans(split).labels, clips(split).labels
    paired = np.empty(len(written), dtype=np.int64)
    for digit in range(10):
        paired[written == digit] = np.resize(np.flatnonzero(spoken == digit), (written == digit).sum())
    return paired


@cache
def _speech() -> NDArray[np.int16]:
    import soundfile

    with files("fusion_digits").joinpath("spoken.flac").open("rb") as stream:
        pcm: NDArray[np.int16] = soundfile.read(stream, dtype="int16")[0]
    return pcm
