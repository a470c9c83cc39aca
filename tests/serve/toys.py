"""A model of one number, whose forward can be held up and made to fail."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from fusion import DataError, Predictor
from fusion.data.collate import Sample
from fusion.inference import Encoded


class Toy:
    """Stands for a predictor. Where it is `closed`, forwards wait for `gate`, and say so by `entered`."""

    UNREADABLE, FAULTY, BREAKS = -1.0, -2.0, -3.0

    def __init__(self, closed: bool = False) -> None:
        self.gate, self.entered = threading.Event(), threading.Event()
        self.batches: list[list[float]] = []
        if not closed:
            self.gate.set()

    def decode(self, row: Mapping[str, Any]) -> Sample:
        if row["number"] == self.UNREADABLE:
            raise DataError("no number")
        if row["number"] == self.FAULTY:
            raise KeyError("a bug")
        return Sample({"number": row["number"]}, frozenset(["number"]), {}, {})

    def encode_samples(self, samples: Sequence[Sample]) -> Encoded:
        self.entered.set()
        assert self.gate.wait(60)
        numbers = [sample.decoded["number"] for sample in samples]
        if self.BREAKS in numbers:
            raise RuntimeError("shapes do not fit")
        self.batches.append(numbers)
        fused = torch.tensor(numbers)[:, None]
        return Encoded({"number": fused}, {"number": torch.ones(len(fused), dtype=torch.bool)}, fused)


def doubled(encoded: Encoded) -> list[float]:
    return (2 * encoded.fused[:, 0]).tolist()  # type: ignore[no-any-return]


def squared(encoded: Encoded) -> list[float]:
    return encoded.fused[:, 0].square().tolist()  # type: ignore[no-any-return]


class Held(Predictor):
    """A predictor whose forwards wait for `gate`, and say so by `entered`."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__(predictor.model, predictor.recipe)
        self.gate, self.entered = threading.Event(), threading.Event()

    def encode_samples(self, samples: Sequence[Sample]) -> Encoded:
        self.entered.set()
        assert self.gate.wait(60)
        return super().encode_samples(samples)
