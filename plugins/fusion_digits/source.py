"""The source `digits`: rows of scans, clips and words that agree on a digit."""

from typing import Any, Literal, get_args

import numpy as np

from fusion import DataError
from fusion_digits import corpus
from fusion_digits.corpus import RATE, Split
from fusion_digits.noise import hiss, mistype, smear
from fusion_digits.words import phrase

View = Literal["image", "text", "audio", "image-text", "audio-text", "image-audio", "image-audio-text"]
STREAMS = {"image": 0, "audio": 1, "text": 2}  # noise of one modality does not depend on the view


class Digits:
    """Handwritten digits (real scans), spoken digits (synthetic speech) and words, without a network.

    A row is a dict with the keys that `view` names, and the label:

    - `image`: uint8 array (8, 8), ink from 0 to 255
    - `audio`: (float32 array (samples,) in [-1, 1], 8000 Hz), 0.2 to 0.9 s
    - `text`: a phrase that names the digit by word, numeral or both; two of twelve phrases only in test
    - `label`: int, 0..9

    `audio` and `audio-text` have a row for every clip (720 to train, 240 to test), the other views for
    every scan (1,297 and 500). Where both are shown, a scan comes with a clip of the same digit, and the
    clips take turns. No scan and no voice is in both splits. `limit` keeps the first rows.

    `noise` corrupts the modalities of a row, always alike for one index of a split: images by Gaussian
    noise of that standard deviation (full range 1), sound by white noise of 8 times that share of its
    loudness, and that share times 0.8 of the letters; 0.5 is hard. A dict gives each modality its own.
    Raises DataError for an option out of range.

    Licences and origins: see fusion_digits.corpus.
    """

    def __init__(
        self,
        *,
        view: View = "image-audio-text",
        split: Split = "train",
        noise: float | dict[str, float] = 0.0,
        limit: int | None = None,
    ) -> None:
        if view not in get_args(View):
            raise DataError(f"digits: view is {view!r}; allowed: {', '.join(get_args(View))}")
        if split not in get_args(Split):
            raise DataError(f"digits: split is {split!r}; allowed: {', '.join(get_args(Split))}")
        amounts = noise if isinstance(noise, dict) else dict.fromkeys(STREAMS, noise)
        if not all(name in STREAMS and 0 <= amount < float("inf") for name, amount in amounts.items()):
            raise DataError(
                f"digits: noise is {noise}; allowed: 0 (none) or more, 1 being the full range, "
                f"or such a number for any of {', '.join(STREAMS)}"
            )
        if limit is not None and limit < 1:
            raise DataError(f"digits: limit is {limit}; allowed: 1 or more, or leave it out for all rows")
        self.modalities = tuple(view.split("-"))
        self.split = split
        self.noise = amounts
        self.limit = limit

    def __len__(self) -> int:
        rows = len(corpus.clips(self.split).labels if self._by_clip else corpus.scans(self.split).labels)
        return rows if self.limit is None else min(rows, self.limit)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"digits: row {index} of {len(self)}")
        row: dict[str, Any] = {}
        if "image" in self.modalities:
            row["image"] = corpus.scans(self.split).pixels[index].copy()
        if "audio" in self.modalities:
            clip = index if self._by_clip else int(corpus.pairs(self.split)[index])
            row["audio"] = corpus.clips(self.split).waveform(clip), RATE
        label = int((corpus.clips if self._by_clip else corpus.scans)(self.split).labels[index])
        if "text" in self.modalities:
            row["text"] = phrase(self.split, index, label)
        for modality, amount in self.noise.items():
            if amount and modality in row:
                row[modality] = self._corrupt(modality, row[modality], amount, index)
        return row | {"label": label}

    @property
    def _by_clip(self) -> bool:
        return "audio" in self.modalities and "image" not in self.modalities

    def _corrupt(self, modality: str, sample: Any, amount: float, index: int) -> Any:
        draw = np.random.default_rng((index, get_args(Split).index(self.split), STREAMS[modality]))
        match modality:
            case "image":
                return smear(sample, amount, draw)
            case "audio":
                return hiss(sample[0], amount, draw), RATE
            case _:
                return mistype(sample, amount, draw)
