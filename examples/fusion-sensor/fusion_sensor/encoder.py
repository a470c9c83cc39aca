"""The encoder `sensor-conv`: a small convolutional net over time."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from fusion import DataError, Encoder, Encoding, Processor

CHANNELS = 3
STRIDE = 4  # samples to a token


def read(raw: object) -> NDArray[np.float32]:
    """Return a trace (samples, 3). Raises DataError for anything else."""
    if not isinstance(raw, np.ndarray) or raw.ndim != 2 or raw.shape[1] != CHANNELS or not len(raw):
        raise DataError(f"a trace is an array (samples, {CHANNELS}), not {getattr(raw, 'shape', raw)}")
    return raw.astype(np.float32)


class SensorProcessor(Processor):
    """Reads traces; pads what is shorter than the longest of the batch with zeros."""

    def decode(self, raw: object) -> NDArray[np.float32]:
        return read(raw)

    def collate(self, samples: Sequence[NDArray[np.float32]]) -> dict[str, Tensor]:
        length = torch.tensor([len(sample) for sample in samples])
        padded = pad_sequence([torch.from_numpy(sample) for sample in samples], batch_first=True)
        return {"x": padded.transpose(1, 2), "length": length}


class SensorConv(Encoder):
    """Encodes traces of any length; a token covers 4 samples."""

    def __init__(self, *, dim: int = 128) -> None:
        super().__init__()
        self.dim = dim
        self.processor = SensorProcessor()
        self.first = nn.Conv1d(CHANNELS, dim, 5, stride=2, padding=2)
        self.second = nn.Conv1d(dim, dim, 5, stride=2, padding=2)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, length: Tensor) -> Encoding:
        """Encode traces x (n, 3, samples), of which the first `length` (n,) samples are real."""
        half = (length + 1) // 2
        x = self.first(x).relu() * _real(half, (x.shape[2] + 1) // 2)[:, None]  # padding stays zero
        tokens = self.norm(self.second(x).transpose(1, 2).relu())  # (n, t, d)
        mask = _real((half + 1) // 2, tokens.shape[1])
        pooled = (tokens * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return Encoding(pooled, tokens, mask)


def _real(length: Tensor, size: int) -> Tensor:
    return torch.arange(size, device=length.device) < length[:, None]  # (n, size)
