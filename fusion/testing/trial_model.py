"""A small model to try compressions on: three modalities, with some of everything that models are made of."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fusion.batch import Batch
from fusion.embeddings import Embeddings
from fusion.encoder import Encoder, Encoding, Processor
from fusion.fuser import Fuser
from fusion.model import Model
from fusion.objective import Objective
from fusion.testing.expect import seed
from fusion.testing.trial import MIXED, MODALITIES

DIM, WIDTH = 32, 24


class _Raw(Processor):
    def decode(self, raw: Any) -> Any:
        return raw


class _Image(Encoder):
    def __init__(self) -> None:
        super().__init__()
        self.dim, self.processor = DIM, _Raw()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.GroupNorm(1, 16), nn.GELU())
        self.head = nn.Linear(16, DIM)

    def forward(self, x: Tensor) -> Encoding:
        x = self.second(self.norm(self.first(x)).relu())
        return Encoding(self.head(x.mean((2, 3))))


class _Text(Encoder):
    def __init__(self) -> None:
        super().__init__()
        self.dim, self.processor = DIM, _Raw()
        self.words = nn.Embedding(40, DIM)
        self.layer = nn.TransformerEncoderLayer(DIM, 4, 64, batch_first=True)

    def forward(self, x: Tensor) -> Encoding:
        tokens = self.layer(self.words(x))
        return Encoding(tokens.mean(1), tokens)


class _Audio(Encoder):
    def __init__(self) -> None:
        super().__init__()
        self.dim, self.processor = DIM, _Raw()
        self.net = nn.Sequential(nn.Conv1d(4, 16, 5, stride=2), nn.GELU())
        self.body = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Dropout(0.1), nn.Linear(64, DIM))

    def forward(self, x: Tensor) -> Encoding:
        return Encoding(self.body(self.net(x).amax(2)))


class _Joined(Fuser):
    def __init__(self) -> None:
        super().__init__(MODALITIES, WIDTH)
        self.join = nn.Sequential(nn.Linear(len(MODALITIES) * WIDTH, 48), nn.ReLU(), nn.Linear(48, WIDTH))

    def forward(self, embeddings: Embeddings) -> Tensor:
        fused: Tensor = self.join(torch.cat([embeddings.visible(name) for name in self.modalities], 1))
        return fused


class _Classes(Objective):
    def __init__(self) -> None:
        super().__init__(MODALITIES, WIDTH)
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, embeddings: Embeddings, fused: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(self.head(fused), torch.arange(len(fused)) % 5)


def trial_model(number: int) -> Model:
    """Return a model with random weights, of which linear layers, convolutions and embeddings are most."""
    with seed(number):
        encoders = dict(zip(MODALITIES, (_Image(), _Text(), _Audio()), strict=True))
        paths = (*(f"encoders.{name}" for name in MODALITIES), "fuser", "objectives.kind")
        return Model(
            encoders, WIDTH, _Joined(), {"kind": _Classes()}, {"kind": 1.0}, dict.fromkeys(paths, "trial")
        )


def trial_batch(row: int | None = None) -> Batch:
    """Return the same rows each time, or one of them: every subset of the modalities twice, and nothing."""
    present = dict(zip(MODALITIES, torch.tensor(MIXED).T, strict=True))
    counts = [int(shown.sum()) for shown in present.values()]
    with seed(2):
        samples = (
            torch.randn(counts[0], 3, 8, 8),
            torch.randint(40, (counts[1], 7)),
            torch.randn(counts[2], 4, 20),
        )
    inputs = {name: {"x": x} for name, x in zip(MODALITIES, samples, strict=True)}
    if row is not None:
        places = {name: int(shown[:row].sum()) for name, shown in present.items()}
        present = {name: shown[row : row + 1] for name, shown in present.items()}
        inputs = {
            name: {"x": inputs[name]["x"][place : place + 1]}
            for name, place in places.items()
            if present[name].any()
        }
    rows = torch.arange(len(present["image"]))
    nothing = {name: torch.zeros_like(rows) for name in MODALITIES}
    return Batch(present, present, inputs, {}, nothing, torch.zeros_like(rows), rows)
