"""A model of three modalities, of which two say where raw samples are; none is known to the core by name."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fusion import Encoder, Encoding, Model, Processor, Signal
from fusion.batch import Batch
from fusion.data.collate import Collator
from fusion.data.order import Slots
from fusion.fusers.mean import Mean
from fusion.objectives.classify import Classify

MEAN, STD = (0.1, -0.2), (0.5, 0.25)  # of the two channels of `scan`


class Scans(Processor):
    """Two channels of three numbers in [0, 1], normalised."""

    def decode(self, raw: Any) -> Tensor:
        return (torch.tensor(raw, dtype=torch.float32) - torch.tensor(MEAN)[:, None]) / torch.tensor(STD)[
            :, None
        ]

    def signals(self, inputs: Mapping[str, Tensor]) -> dict[str, Signal]:
        return {"x": Signal(0.0, 1.0, MEAN, STD)}


class Waves(Processor):
    """Numbers in [-1, 1], as many as there are, padded."""

    def decode(self, raw: Any) -> Tensor:
        return torch.tensor(raw, dtype=torch.float32)

    def collate(self, samples: Sequence[Tensor]) -> dict[str, Tensor]:
        x = nn.utils.rnn.pad_sequence(list(samples), batch_first=True)
        return {"x": x, "length": torch.tensor([len(sample) for sample in samples])}

    def signals(self, inputs: Mapping[str, Tensor]) -> dict[str, Signal]:
        real = torch.arange(inputs["x"].shape[1]) < inputs["length"][:, None]
        return {"x": Signal(-1.0, 1.0, real=real)}


class Words(Processor):
    """Whole numbers, which nothing can move a little."""

    def decode(self, raw: Any) -> int:
        return int(raw)


class Tower(Encoder):
    """One layer, and dropout, which an attack must not see."""

    def __init__(self, processor: Processor, inputs: int) -> None:
        super().__init__()
        self.dim, self.processor = 4, processor
        self.layer, self.dropout = nn.Linear(inputs, 4), nn.Dropout(0.5)

    def forward(self, x: Tensor, length: Tensor | None = None) -> Encoding:
        flat = x.float().reshape(len(x), -1)
        width = self.layer.in_features
        flat = nn.functional.pad(flat[:, :width], (0, max(0, width - flat.shape[1])))
        return Encoding(self.dropout(self.layer(flat).tanh()))


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    encoders = {"scan": Tower(Scans(), 6), "wave": Tower(Waves(), 5), "word": Tower(Words(), 1)}
    names = tuple(encoders)
    origins = {f"encoders.{name}": "test" for name in names} | {"fuser": "test"}
    task = Classify(names, 8, classes=3)
    return Model(encoders, 8, Mean(names, 8), {"kind": task}, {"kind": 1.0}, origins).eval()


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """Five rows: everything; no scan; nothing but a scan; no label; a wave alone."""
    rng = np.random.default_rng(0)
    scans, waves = rng.random((5, 2, 3)), rng.uniform(-0.5, 0.5, (5, 5))
    scans[0, 0, 0] = 0.98
    return [
        {"scan": scans[0], "wave": waves[0][:3], "word": 3, "label": 0},
        {"wave": waves[1], "word": 1, "label": 1},
        {"scan": scans[2], "label": 2},
        {"scan": scans[3], "wave": waves[3][:4], "word": 2},
        {"wave": waves[4], "label": 1},
    ]


def batch_of(model: Model, rows: Sequence[Mapping[str, Any]], places: Sequence[int]) -> Batch:
    """Return a batch of these rows, which have the numbers that they have in the source."""
    collator = Collator(model.processors, model.targets())
    numbers = np.array(places, dtype=np.int64)
    slots = Slots(np.zeros_like(numbers), numbers, np.zeros_like(numbers))
    return collator.stack([collator.decode(rows[place]) for place in places], slots)
